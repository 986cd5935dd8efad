"""Every kind of place keeps the same few promises, against its real server."""

import _thread
import signal
import socket
import threading
import time
from random import Random

import pytest

from analyzer.backup.errors import InitRefusedError, MissingObjectError
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.repository import Settings, init_repository
from analyzer.backup.storage.ftp import FtpServer
from analyzer.backup.storage.object_store import FsspecServer
from analyzer.backup.storage.open import place_of
from analyzer.backup.storage.remote_folder import FolderPlace, Session
from analyzer.backup.storage.storage import AddressError, Entry, ServerError, parse_address
from tests.analyzer.backup.places import KINDS, PASSWORD, QUICK, SERVERS

# smbclient warns of a file that was open when its connection was cut; nothing is left to close there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(params=KINDS)
def site(request, site_of):
    return site_of(request.param)


@pytest.fixture
def place(site, request):
    made = site.place(f"{request.node.originalname}/deep")
    yield made
    if hasattr(made, "close"):
        made.close()


def names(place, folder):
    return sorted(entry.name for entry in place.list(folder))


def test_what_is_written_is_read_listed_and_measured(place):
    content = bytes(range(256)) * 4097
    place.write("chunks.castr/0123/one", content)
    place.write("points/two", b"")
    assert place.read("chunks.castr/0123/one") == content
    assert place.read("points/two") == b""
    assert place.size("chunks.castr/0123/one") == len(content)
    assert names(place, "chunks.castr") == ["chunks.castr/0123/one"]
    (entry,) = place.list("chunks.castr")
    assert entry.size == len(content)
    assert abs(entry.modified - time.time()) < 3600  # the time zone is right
    assert place.size("chunks.castr/0123/one") == len(content)  # and so after a listing


def test_writing_again_replaces_and_leaves_nothing_beside_it(place):
    place.write("points/a", b"long, and before")
    place.write("points/a", b"new")
    assert place.read("points/a") == b"new"
    assert names(place, "") == ["points/a"]


def test_creating_is_refused_where_something_is(place):
    assert place.create("locks/x", b"first")
    assert not place.create("locks/x", b"second")
    assert place.read("locks/x") == b"first"


def test_what_is_absent_is_said_to_be(place):
    assert place.size("nowhere/x") is None
    assert list(place.list("nowhere")) == []
    place.delete("nowhere/x")
    with pytest.raises(MissingObjectError):
        place.read("nowhere/x")


def test_what_is_deleted_is_gone(place):
    place.write("points/a", b"1")
    place.write("points/b", b"2")
    place.delete("points/a")
    place.delete("points/a")
    assert place.size("points/a") is None
    assert names(place, "points") == ["points/b"]


@pytest.mark.parametrize("kind", SERVERS)
def test_a_connection_cut_at_any_byte_is_made_anew_and_nothing_half_written_is_ever_seen(kind, site_of):
    site = site_of(kind)
    place = site.place_to_cut("cut")
    before = site.budget.cuts
    contents = [bytes([count]) * 300_001 for count in range(7)]
    for content, budget in zip(contents, (1, 2500, 20_000, 150_000, 299_000, 301_000, 450_000), strict=True):
        site.budget.cut_after(budget)
        place.write("points/same", content)
        assert place.read("points/same") == content
        assert names(place, "points") == ["points/same"]
    site.budget.cut_after(None)
    place.close()
    assert site.budget.cuts - before >= 5  # each of them was a real cut


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_is_gone_is_told_in_one_sentence_without_the_password(kind, site_of, monkeypatch):
    from tests.analyzer.backup.servers import free_port

    site = site_of(kind)
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    url = "s3://bucket/x" if kind == "s3" else site.base.replace(site.base.split(":")[-1].split("/")[0], str(port), 1)
    place = place_of(url, QUICK)
    with pytest.raises(ServerError) as raised:
        place.read("repository.json")
    place.close()
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "failed 5 times" in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        pytest.param("ftp", "VHDX_FTP_PASSWORD", marks=pytest.mark.peers),
        pytest.param("smb", "VHDX_SMB_PASSWORD", marks=pytest.mark.peers),
    ],
)
def test_a_wrong_password_is_told_at_once_and_not_shown(kind, variable, site_of, monkeypatch):
    place = site_of(kind).place("x")
    monkeypatch.setenv(variable, "another secret")
    with pytest.raises(ServerError, match="did not let us in") as raised:
        place.read("repository.json")
    assert "another secret" not in str(raised.value)
    place.close()


@pytest.mark.peers
def test_a_bucket_that_is_not_there_is_said_not_to_be(site_of):
    site_of("s3")
    place = place_of("s3://no-such-bucket/x", QUICK)
    for write in (place.write, place.create):
        with pytest.raises(ServerError, match="there is no bucket no-such-bucket"):
            write("repository.json", b"x")
    place.close()


@pytest.mark.peers
@pytest.mark.parametrize("kind", SERVERS)
def test_a_repository_is_made_once_on_a_server_too(kind, site_of):
    """[the second `init` writes the same bytes, which are taken for what the first has written]."""
    place = site_of(kind).place("made-once")
    init_repository(place, Settings(), Codec())
    with pytest.raises(InitRefusedError, match="a repository is there already, with 0 restore points"):
        init_repository(place, Settings(), Codec())
    place.close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
@pytest.mark.peers
def test_a_server_is_asked_for_one_object_where_that_is_all_that_is_wanted(kind, site_of):
    place = site_of(kind).place("glanced/at")
    assert place.glance() is None
    place.write("points/unfinished.part", b"")
    assert place.glance() is None, "what a listing passes over is nothing"
    place.write("points/a", b"12")
    assert (place.glance().name, place.glance().size) == ("points/a", 2)
    place.close()


@pytest.mark.peers
def test_that_a_bucket_is_not_empty_is_known_without_listing_it(site_of, monkeypatch):
    place = site_of("s3").place("full")
    for number in range(40):
        place.write(f"others/{number:02}", b"x")

    def scan(_server, path):
        raise AssertionError(f"all of {path} was listed")

    monkeypatch.setattr(FsspecServer, "scan", scan)
    with pytest.raises(InitRefusedError, match=r"something is there already \(others/"):
        init_repository(place, Settings(), Codec())
    assert 0 < place._session.call(lambda server: len(server.glance(place._path("")))) < 40
    beside = site_of("s3").place("ful")  # the name begins alike
    init_repository(beside, Settings(), Codec())
    for each in (place, beside):
        each.close()


@pytest.mark.peers
def test_the_mark_of_a_folder_in_a_bucket_is_no_object(site_of):
    place = site_of("s3").place("marked")
    place._session.call(lambda server: server._system.call_s3("put_object", Bucket="bucket", Key="marked/"))
    assert place.glance() is None
    init_repository(place, Settings(), Codec())
    place.close()


@pytest.mark.peers
def test_a_password_is_taken_from_netrc(site_of, monkeypatch, tmp_path):
    site = site_of("ftp")
    monkeypatch.delenv("VHDX_FTP_PASSWORD")
    (tmp_path / "netrc").write_text(f'machine 127.0.0.1 login user password "{PASSWORD}"\n')
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    place = site.place("netrc")
    place.write("points/a", b"1")
    assert place.read("points/a") == b"1"
    place.close()


@pytest.mark.peers
@pytest.mark.parametrize("key", [None, "no key at all\n"])
def test_without_any_key_it_is_a_login_that_fails_at_once(site_of, monkeypatch, tmp_path, key):
    from pathlib import Path

    place, known = site_of("sftp").place("x"), Path.home() / ".ssh" / "known_hosts"
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_bytes(known.read_bytes())
    if key:
        (tmp_path / ".ssh" / "id_ed25519").write_text(key)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("VHDX_SFTP_PASSWORD", raising=False)
    with pytest.raises(ServerError, match="did not let us in"):
        place.read("repository.json")
    place.close()


@pytest.mark.peers
def test_an_sftp_server_that_nobody_knows_is_refused(site_of, monkeypatch, tmp_path):
    place = site_of("sftp").place("x")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ServerError, match=r"not in ~/.ssh/known_hosts.*connect once with ssh"):
        place.read("repository.json")
    place.close()


@pytest.mark.peers
def test_an_sftp_server_with_another_key_is_refused(site_of, monkeypatch, tmp_path):
    site = site_of("sftp")
    from pathlib import Path

    keys = tmp_path / ".ssh"
    keys.mkdir()
    other = (Path.home() / ".ssh" / "id_ed25519.pub").read_text().split()[:2]
    host = site.base.split("@")[1].split("/")[0]
    (keys / "known_hosts").write_text(f"[{host.split(':')[0]}]:{host.split(':')[1]} {' '.join(other)}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    place = site.place("x")
    with pytest.raises(ServerError, match="key is not the one"):
        place.read("repository.json")
    place.close()


@pytest.mark.peers
def test_ssh_config_gives_host_port_user_and_key(site_of, monkeypatch, tmp_path):
    from pathlib import Path

    site = site_of("sftp")
    user, _, rest = site.base.removeprefix("sftp://").partition("@")
    port, _, path = rest.removeprefix("127.0.0.1:").partition("/")
    old = Path.home() / ".ssh"
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host nas\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {old / 'id_ed25519'}\n"
        f" UserKnownHostsFile {old / 'known_hosts'}\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    place = place_of(f"sftp://nas/{path}/by-name", QUICK)
    place.write("points/a", b"1")
    assert place.read("points/a") == b"1"
    place.close()


@pytest.mark.parametrize("url", ["sftp://user:geheim@host/path", "ftp://:geheim@host", "s3://key:geheim@bucket/x"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url):
    with pytest.raises(AddressError, match="has a password in it") as raised:
        place_of(url)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("url", ["ftp:///path", "smb://host", "nonsense://host/x", "ftp://host:port/", "sftp://h/a?b"])
def test_a_url_that_names_no_place_is_refused(url):
    with pytest.raises(AddressError):
        place_of(url, QUICK).read("x")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sftp", "ftp", "ftps", "smb", "s3"])
def test_a_host_that_nobody_knows_is_said_to_be_unknown(kind, monkeypatch, tmp_path):
    for module, extra in {"sftp": "paramiko", "smb": "smbclient", "s3": "s3fs"}.items():
        if kind == module:
            pytest.importorskip(extra)

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://nosuch.host")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    place = place_of(f"{kind}://nosuch.host/x/y", QUICK)
    with pytest.raises(ServerError, match="the host name cannot be resolved"):
        place.read("repository.json")
    place.close()


class Hostile(FtpServer):
    """A server that says what no server should."""

    def __init__(self, names=(), size=0):
        self._address = parse_address("ftp://host/root")
        self._names, self._size = names, size

    def _scan(self, path):
        return [Entry(name, self._size, 0.0) for name in self._names]

    def _fetch(self, path, most):
        class Long(bytes):
            def __len__(self):
                return most + 1

        return Long()

    def close(self):
        pass


def hostile_place(server):
    return FolderPlace("test://", "root", Session("test://", lambda: server, QUICK))


def test_names_that_lead_elsewhere_are_passed_over():
    bad = ["..", ".", "", "../x", "a/../../x", "/etc/passwd", "a\\b", "c:x", "a\x1b[2J", "a\nb", "a\u202eb"]
    assert names(hostile_place(Hostile([*bad, "good"])), "points") == ["points/good"]


def test_an_object_of_absurd_size_is_refused():
    with pytest.raises(ServerError, match="no object of a repository has"):
        hostile_place(Hostile()).read("points/a")


def test_folders_that_never_end_do():
    class Endless(Hostile):
        def _scan(self, path):
            return [Entry("deeper", 0, 0.0, is_folder=True)]

    assert names(hostile_place(Endless()), "points") == []


def test_an_interruption_leaves_the_call_alone_and_the_next_one_has_a_connection_of_its_own():
    """[interrupted in the middle of a message, a library waits for the rest of it, or for its own locks]."""
    made, used, going_on = [], [], threading.Event()

    def connect():
        made.append(Hostile())
        return made[-1]

    def read(server):
        used.append(server)
        _thread.interrupt_main()
        assert going_on.wait(60)

    session = Session("test://", connect, QUICK)
    # In the background of a shell the signal is ignored, and that is inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            session.call(read)
    finally:
        signal.signal(signal.SIGINT, before)
    session.call(used.append)
    assert used == made
    assert len(made) == 2
    going_on.set()
    session.close()


@pytest.mark.fuzz
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no such signals")
@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_at_any_moment_ends_a_call_as_a_signal_does(kind, site_of):
    site, random, data = site_of(kind), Random(1), bytes(3 << 20)

    def ring(number, _frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGALRM, ring)
    ended = 0
    try:
        place = site.place("signals")
        place.write("points/last", data)  # an import that is interrupted cannot be gone on with
        for number in range(80):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.15))
                for _ in range(100_000):  # far more than any place does before the signal comes
                    place.write(f"points/{number}", data)
                    assert place.read(f"points/{number}") == data
                    assert f"points/{number}" in names(place, "points")
            except SystemExit:
                ended += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            place.write("points/last", data[number:])
            assert place.read("points/last") == data[number:]
        place.close()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ended == 80
