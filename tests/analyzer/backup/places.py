"""Every kind of place, each with its real server and something that cuts the connection."""

import contextlib
import getpass
import importlib.util
import os
import shutil
from dataclasses import dataclass

import pytest

from analyzer.backup.storage.open import place_of
from analyzer.backup.storage.remote_folder import RetryPolicy
from tests.analyzer.backup.servers import CuttingProxy, ftp_server, s3_server, sftp_server, smb_server

QUICK = RetryPolicy(attempts=5, first=0.01, longest=0.05)
PASSWORD = "a rather secret word"  # noqa: S105 - of servers that tests start
KINDS = [
    "folder",
    pytest.param("memory", marks=pytest.mark.peers),
    pytest.param("ftp", marks=pytest.mark.peers),
    pytest.param("ftp-without-mlsd", marks=pytest.mark.peers),
    pytest.param("sftp", marks=pytest.mark.peers),
    pytest.param("smb", marks=pytest.mark.peers),
    pytest.param("s3", marks=pytest.mark.peers),
]
SERVERS = [kind for kind in KINDS if kind != "folder" and kind.values[0] != "memory"]
_MODULES = {
    "memory": "fsspec", "ftp": "pyftpdlib", "ftp-without-mlsd": "pyftpdlib", "sftp": "paramiko", "smb": "smbclient",
    "s3": "moto",
}  # fmt: skip
_PROGRAMS = {"sftp": "sshd", "smb": "smbd"}


@dataclass
class Site:
    """A running server: URLs of repositories there, by the direct way and by the one that can be cut."""

    kind: str
    base: str
    cut_base: str
    budget: object = None

    def url(self, name):
        return f"{self.base}/{name}"

    def place(self, name):
        return place_of(f"{self.base}/{name}", QUICK)

    def place_to_cut(self, name):
        return place_of(f"{self.cut_base}/{name}", QUICK)


@pytest.fixture(scope="session")
def site_of(tmp_path_factory):
    """Starts the server of a kind once and keeps it to the end."""
    sites = {}
    with contextlib.ExitStack() as stack:
        # HOME and the variables with the credentials are this session's own.
        patch = stack.enter_context(pytest.MonkeyPatch.context())

        def give(kind):
            _skip_without(kind)
            if kind not in sites:
                sites[kind] = _SITES[kind](tmp_path_factory.mktemp(kind), stack, patch)
            return sites[kind]

        yield give


def _skip_without(kind):
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if kind in _MODULES and importlib.util.find_spec(_MODULES[kind]) is None:
        pytest.skip(f"{_MODULES[kind]} is not installed")
    if kind in _PROGRAMS and shutil.which(_PROGRAMS[kind], path=path) is None:
        pytest.skip(f"{_PROGRAMS[kind]} is not installed")


def _folder(folder, _stack, _patch):
    return Site("folder", str(folder), str(folder))


def _memory(folder, _stack, _patch):
    return Site("memory", f"memory://{folder.name}", f"memory://{folder.name}")


def _ftp(folder, stack, patch, without=()):
    patch.setenv("VHDX_FTP_PASSWORD", PASSWORD)
    port, budget = stack.enter_context(ftp_server(folder, "user", PASSWORD, without=without))
    base = f"ftp://user@127.0.0.1:{port}"
    return Site("ftp", base, base, budget)


def _old_ftp(folder, stack, patch):
    return _ftp(folder, stack, patch, without=("MLSD", "MLST"))


def _sftp(folder, stack, patch):
    home = folder / "home"
    patch.setenv("HOME", str(home))
    patch.delenv("SSH_AUTH_SOCK", raising=False)
    port = stack.enter_context(sftp_server(folder, home))
    proxy = stack.enter_context(CuttingProxy(port))
    known = home / ".ssh" / "known_hosts"
    known.write_text(known.read_text() + known.read_text().replace(f":{port} ", f":{proxy.port} "))
    bases = [f"sftp://{getpass.getuser()}@127.0.0.1:{number}{folder}" for number in (port, proxy.port)]
    return Site("sftp", *bases, proxy.budget)


def _smb(folder, stack, patch):
    patch.setenv("VHDX_SMB_PASSWORD", PASSWORD)
    port = stack.enter_context(smb_server(folder, PASSWORD))
    proxy = stack.enter_context(CuttingProxy(port))
    bases = [f"smb://{getpass.getuser()}@127.0.0.1:{number}/share" for number in (port, proxy.port)]
    return Site("smb", *bases, proxy.budget)


def _s3(folder, stack, patch):
    import fsspec

    port = stack.enter_context(s3_server(folder))
    proxy = stack.enter_context(CuttingProxy(port))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": PASSWORD, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
    }.items():  # fmt: skip
        patch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    return Site("s3", "s3://bucket", "s3://bucket", proxy.budget)


_SITES = {
    "folder": _folder, "memory": _memory, "ftp": _ftp, "ftp-without-mlsd": _old_ftp, "sftp": _sftp, "smb": _smb,
    "s3": _s3,
}  # fmt: skip
