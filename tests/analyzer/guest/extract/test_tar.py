"""An archive of files that no image can be made of quickly: names, holes, and files that cannot be read twice."""

import io
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.guest.extract.model import Kept
from analyzer.guest.extract.names import FaithfulNames
from analyzer.guest.extract.tar import TarArchive
from analyzer.guest.filesystems.content import Piece
from analyzer.guest.filesystems.errors import UnreadableFileError
from analyzer.guest.filesystems.record import SLASH, FileKind, FileRecord, UnixDetails
from analyzer.guest.layouts.ext_attributes import attributes_in, device_of, mode_of

MIB = 1 << 20


def kept(kind=FileKind.FILE, **details):
    record = FileRecord(volume=1, path="/f", address=12, parent=2, kind=kind)
    return Kept(record, UnixDetails(**{"mode": 0o100640, **details}))


def archived(*files, raises=None):
    """The archive of (name, size, what gives its pieces, what is kept)."""
    stream = io.BytesIO()
    with TarArchive(stream.write) as archive:
        for name, size, pieces, about in files:
            if raises:
                with pytest.raises(raises):
                    archive.write((name,), size, pieces, about)
            else:
                archive.write((name,), size, pieces, about)
    stream.seek(0)
    return tarfile.open(fileobj=stream), len(stream.getvalue())


@pytest.mark.parametrize("name", ["..", ".", "", f"..{SLASH}..{SLASH}etc", "nul\0"])
def test_what_is_no_name_on_any_system_is_changed(name):
    given = FaithfulNames().give(name)
    assert given not in {"", ".", ".."}
    assert "/" not in given
    assert "\0" not in given


def test_every_other_name_is_kept_and_none_is_given_twice():
    names = FaithfulNames()
    wanted = ["CON", "a:b", "...", "x ", "\udcff", "Case", "case"]
    assert [names.give(name) for name in wanted] == wanted
    assert names.give("CON") == "CON~2"


def test_holes_take_no_room():
    pieces = [Piece(0, b"begin"), Piece(700 * MIB, b"middle")]
    archive, length = archived(("big", 1 << 40, lambda: iter(pieces), kept()))
    (member,) = archive
    assert (member.name, member.size) == ("big", 1 << 40)
    content = archive.extractfile(member)
    assert content.read(10) == b"begin" + bytes(5)
    content.seek(700 * MIB - 1)
    assert content.read(8) == b"\0middle\0"
    assert length < 100_000


def test_a_file_that_is_large_is_read_twice_and_is_whole():
    data = [bytes([number]) * MIB for number in range(1, 20)]
    pieces = lambda: iter([Piece(number * MIB, some) for number, some in enumerate(data)])  # noqa: E731 - asked twice
    archive, _ = archived(("large", 19 * MIB, pieces, kept()))
    assert archive.extractfile("large").read() == b"".join(data)


def test_one_that_cannot_be_read_the_second_time_has_its_length_and_does_no_harm_to_others():
    times = []

    def pieces():
        times.append(1)
        yield Piece(0, b"x" * 17 * MIB)
        if len(times) > 1:
            raise UnreadableFileError("/f", "the medium failed")
        yield Piece(17 * MIB, b"y" * MIB)

    archive, _ = archived(("bad", 18 * MIB, pieces, kept()), raises=UnreadableFileError)
    content = archive.extractfile("bad").read()
    assert len(content) == 18 * MIB
    assert content.rstrip(b"\0") == b"x" * 17 * MIB


def test_attributes_have_the_names_that_gnu_tar_gives_them():
    given = (("user.a=b%", b"\xff\0"), ("system.posix_acl_access", bytes.fromhex("02000000 02000600e8030000")))
    archive, _ = archived(("f", 1, lambda: iter([Piece(0, b"x")]), kept(attributes=given)))
    headers = archive.getmember("f").pax_headers
    assert headers["SCHILY.xattr.user.a%3Db%25"].encode("utf-8", "surrogateescape") == b"\xff\0"
    assert headers["SCHILY.acl.access"] == "user:1000:rw-"


@pytest.mark.parametrize("target", ["\ud800 alone", "\udc2f slash", "\udcff byte", "..", "/" * 5000, ""])
def test_a_link_may_lead_anywhere_and_the_archive_is_whole(target):
    stream = io.BytesIO()
    about = kept(FileKind.LINK)
    with TarArchive(stream.write) as archive:
        archive.make_link(("link",), replace(about, record=about.record._replace(target=target)))
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        assert archive.getmember("link").issym()


@given(inode=st.binary(min_size=128, max_size=512), block=st.binary(max_size=4096))
def test_attributes_of_any_bytes_come_to_an_end(inode, block):
    begin = b"\0\0\x02\xea"
    for head, table in ((inode, block), (inode[:128] + b"\0\0" + begin + inode[134:], begin + block)):
        for attribute in attributes_in(head, lambda _, table=table: table):
            assert attribute.name
    assert all(number >= 0 for number in (mode_of(inode), *device_of(inode)))
