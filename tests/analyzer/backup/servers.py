"""Real servers on loopback ports of their own, each ended with the test that asked for it."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

_PATIENCE = 120.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(command, port, log, **options):
    """A program that listens at a port, until the end of the `with` statement."""
    with Path(log).open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)
        try:
            _await(process, port, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process, port, log):
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args[0]} does not listen: {Path(log).read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def sftp_server(folder, home):
    """OpenSSH's sshd for the current user with keys of its own, which `home`/.ssh knows; gives the port."""
    keys = home / ".ssh"
    keys.mkdir(parents=True)
    keys.chmod(0o700)
    for name in ("host", "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    port = free_port()
    host_key = (keys / "host.pub").read_text().split()[:2]
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(host_key)}\n")
    shutil.copy(keys / "id_ed25519.pub", folder / "authorized")
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys / 'host'}\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "UsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nMaxStartups 100\n"
    )
    if os.geteuid() == 0:  # sshd wants its empty folder, which packages make when they start it
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with started([shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", config], port, folder / "sshd.log"):
        yield port


SMB_CONFIG = """
[global]
server role = standalone server
smb ports = {port}
interfaces = 127.0.0.1
bind interfaces only = yes
disable netbios = yes
private dir = {state}
lock directory = {state}
state directory = {state}
cache directory = {state}
pid directory = {state}
ncalrpc dir = {state}/ncalrpc
passdb backend = tdbsam:{state}/passdb.tdb
log file = {state}/log
load printers = no
map to guest = never
server min protocol = SMB2
[share]
path = {shared}
read only = no
"""


@contextlib.contextmanager
def smb_server(folder, password):
    """Samba's smbd with one share for the current user; gives the port."""
    state, shared, port = folder / "state", folder / "shared", free_port()
    state.mkdir()
    shared.mkdir()
    config = folder / "smb.conf"
    config.write_text(SMB_CONFIG.format(port=port, state=state, shared=shared))
    user = getpass.getuser()
    typed = f"{password}\n{password}\n".encode()
    add = ["pdbedit", "-s", config, "-t", "-a", "-u", user]
    subprocess.run(add, input=typed, check=True, capture_output=True)
    with started([shutil.which("smbd") or "/usr/sbin/smbd", "-F", "-s", config], port, folder / "smbd.log"):
        yield port


@contextlib.contextmanager
def s3_server(folder):
    """moto's S3 server; gives the port."""
    port = free_port()
    code = "from moto.server import main; main()"
    with started([sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(port)], port, folder / "moto.log"):
        yield port


class Budget:
    """Bytes that may pass until everything is cut once; None lets all pass."""

    def __init__(self):
        self._lock, self.left, self.cuts = threading.Lock(), None, 0

    def cut_after(self, count):
        with self._lock:
            self.left = count

    def spend(self, count):
        """Whether so many bytes may pass."""
        with self._lock:
            if self.left is None:
                return True
            self.left -= count
            if self.left >= 0:
                return True
            self.left, self.cuts = None, self.cuts + 1
            return False


@contextlib.contextmanager
def ftp_server(folder, user, password, *, without=()):
    """pyftpdlib in a thread, with a budget after which it drops its connections; gives the port and the budget."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore, which Python 3.11 warns of
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import DTPHandler, FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

    budget = Budget()

    class Data(DTPHandler):
        def _cut(self):
            self.cmd_channel.close()
            self.close()

        def recv(self, size):
            chunk = super().recv(size)
            if chunk and not budget.spend(len(chunk)):
                self._cut()
                return b""
            return chunk

        def send(self, data):
            if not budget.spend(len(data)):
                self._cut()
                return 0
            return super().send(data)

    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, str(folder), perm="elradfmwMT")

    class Handler(FTPHandler):
        dtp_handler = Data
        use_sendfile = False
        auth_failed_timeout = 0

    Handler.proto_cmds = {key: value for key, value in FTPHandler.proto_cmds.items() if key not in without}
    Handler.authorizer = authorizer
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), Handler, ioloop=loop)
    thread = threading.Thread(target=_serve, args=(server,), daemon=True)
    server.stopping = threading.Event()
    thread.start()
    try:
        yield server.address[1], budget
    finally:
        server.stopping.set()
        thread.join(10)


def _serve(server):
    while not server.stopping.is_set():
        server.ioloop.loop(timeout=0.05, blocking=False)
    server.close_all()


class CuttingProxy:
    """A loopback port before another; it drops all its connections when the budget is spent, then goes on."""

    def __init__(self, port):
        self._target, self.budget = port, Budget()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open, self._lock = set(), threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        # shutdown wakes accept() where close alone does not
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        self._drop_all()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.budget.spend(len(data)):
                    self._drop_all()
                    return
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _drop_all(self):
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
