"""EWF-E01: what is in it, by a reader of the test's own, and what else can go wrong where there are several files."""

import errno
import hashlib
import os
import random
import struct
import zlib
from functools import cache
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest

import vhdx
from analyzer.convert.convert import plan_conversion
from analyzer.convert.formats.e01.format import SIGNATURE
from analyzer.convert.formats.e01.layout import plan
from analyzer.convert.formats.e01.segment_files import MOST, SegmentedSink, segment_name
from analyzer.convert.model import CaseData, Compression, Digests, ImageRequest, OutputFormat, new_disk
from fixtures import Block, BlockState, ImageSpec, encode, write_files
from tests.analyzer.convert.helpers import MIB, convert, e01_options
from tests.support.catalogue import fixture_of
from tests.support.files import let_go
from vhdx.errors import OutputError, VerificationError, VhdxError
from vhdx.sink import Existing, Sink

SMALL = 4 * MIB


def write(chain, target, **more):
    return convert(chain, target, OutputFormat.E01, e01_options(**{"segment_size": SMALL, **more}))


@cache
def noise_file():
    """A disk of 13 MiB less three sectors, 10 MiB of it noise and text side by side: four segments. With its bytes."""
    rng, size = random.Random(1), 13 * MIB - 1536
    parts = {n: rng.randbytes(MIB - 70_000) + bytes(30_000) + b"text " * 8_000 for n in range(10)}
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={0: part}) for n, part in parts.items()}
    file = encode(ImageSpec(size=size, block_size=MIB, blocks=blocks))
    return file, b"".join(parts[n].ljust(MIB, b"\0") for n in parts).ljust(size, b"\0")


@pytest.fixture
def noise(tmp_path):
    """That disk, opened, and its bytes."""
    file, content = noise_file()
    file.write_to(tmp_path / "in.vhdx")
    with vhdx.open_chain(tmp_path / "in.vhdx") as chain:
        yield chain, content


def sections(data):
    """(type, place, body) of each section of a segment, its descriptor's checksum checked."""
    at = 13
    while True:
        kind = data[at : at + 16].rstrip(b"\0").decode()
        following, size = struct.unpack_from("<QQ", data, at + 16)
        assert struct.unpack_from("<I", data, at + 72)[0] == zlib.adler32(data[at : at + 72])
        yield kind, at, data[at + 76 : at + size]
        if kind in {"next", "done"}:
            assert at + 76 == len(data)
            return
        at = following


def chunks(data):
    """The chunks of a segment as they stand there."""
    found = list(sections(data))
    for (kind, table, body), (_, _, again) in pairwise(found):
        if kind != "table":
            continue
        count, base = struct.unpack_from("<I4xQ", body)
        entries = struct.unpack_from(f"<{count}I", body, 24)
        assert again == body
        begin = [base + (entry & 0x7FFFFFFF) for entry in entries]
        for entry, start, stop in zip(entries, begin, [*begin[1:], table], strict=True):
            if entry >> 31:
                yield zlib.decompress(data[start:stop])
            else:
                assert zlib.adler32(data[start : stop - 4]) == struct.unpack_from("<I", data, stop - 4)[0]
                yield data[start : stop - 4]


def segments(folder):
    return sorted(folder.glob("out.E*"))


def test_what_is_written_reads_as_the_disk_and_has_its_digests(noise, tmp_path):
    chain, content = noise
    outcome = write(chain, tmp_path / "out.E01")
    files = [path.read_bytes() for path in segments(tmp_path)]
    assert [path.name for path in segments(tmp_path)] == ["out.E01", "out.E02", "out.E03"]
    assert [data[9] for data in files] == [1, 2, 3]
    assert all(len(data) <= SMALL for data in files)
    assert outcome.file_size == sum(map(len, files))
    assert b"".join(chunk for data in files for chunk in chunks(data)) == content
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    last = {kind: body for kind, _, body in sections(files[-1])}
    assert last["hash"][:16] == md5
    assert last["digest"][:36] == md5 + hashlib.sha1(content, usedforsecurity=False).digest()
    volume = next(body for kind, _, body in sections(files[0]) if kind == "volume")
    assert struct.unpack_from("<IIIQ", volume, 4) == (-(-len(content) // 32768), 64, 512, len(content) // 512)


@pytest.mark.parametrize("compression", [Compression.FORMAT, Compression.ZLIB])
def test_the_same_seed_gives_the_same_segments(noise, tmp_path, compression):
    chain, _ = noise
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(chain, tmp_path / name / "out.E01", compression=compression)
    assert [p.read_bytes() for p in segments(tmp_path / "one")] == [p.read_bytes() for p in segments(tmp_path / "two")]


def test_an_image_without_digests_has_no_sections_of_them(noise, tmp_path):
    chain, _ = noise
    assert write(chain, tmp_path / "out.E01", digests=Digests.NONE).verified
    kinds = {kind for kind, _, _ in sections(segments(tmp_path)[-1].read_bytes())}
    assert {"hash", "digest"}.isdisjoint(kinds)


def spoil(monkeypatch, damage):
    """Let `damage` have the files once everything is written and flushed, before it is read back."""
    flush, done = SegmentedSink.flush, []

    def spoiling(sink):
        flush(sink)
        if not done:
            with let_go(*(each for each in (sink, *sink._further) if each.is_open)):
                done.append(damage(sorted(sink.path.parent.glob("out.E*.part"))))

    monkeypatch.setattr(SegmentedSink, "flush", spoiling)
    return done


PLACES = [
    (0, "header2", 80),
    (0, "volume", 84),
    (0, "sectors", 76 + 5000),
    (0, "table", 76 + 40),
    (0, "table2", 76 + 40),
    (0, "next", 30),
    (1, "data", 84),
    (1, "sectors", 40),
    (1, "sectors", 76 + 900_000),
    (2, "digest", 80),
    (2, "hash", 80),
    (2, "done", 16),
]


@pytest.mark.parametrize(("segment", "kind", "offset"), PLACES)
def test_a_byte_that_did_not_arrive_is_found_wherever_it_is(noise, tmp_path, monkeypatch, segment, kind, offset):
    chain, _ = noise

    def damage(parts):
        data = bytearray(parts[segment].read_bytes())
        place = next(at for found, at, _ in sections(bytes(data)) if found == kind)
        data[place + offset] ^= 0x40
        parts[segment].write_bytes(data)

    done = spoil(monkeypatch, damage)
    with pytest.raises(VerificationError):
        write(chain, tmp_path / "out.E01")
    assert done
    assert [path.name for path in tmp_path.iterdir()] == ["in.vhdx"]


@pytest.mark.parametrize("damage", [lambda parts: parts[1].unlink(), lambda parts: os.truncate(parts[2], 5000)])
def test_a_segment_that_is_gone_or_cut_is_found(noise, tmp_path, monkeypatch, damage):
    chain, _ = noise
    done = spoil(monkeypatch, damage)
    with pytest.raises(VhdxError) as caught:
        write(chain, tmp_path / "out.E01")
    assert done
    assert caught.value.exit_code == 6
    assert [path.name for path in tmp_path.iterdir()] == ["in.vhdx"]


def test_the_first_segment_gets_its_name_last(noise, tmp_path, monkeypatch):
    chain, _ = noise
    named, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (named.append(to.name), replace(self, to))[1])
    write(chain, tmp_path / "out.E01")
    assert named == ["out.E02", "out.E03", "out.E01"]


@pytest.mark.parametrize("failing", ["out.E03", "out.E01"])
def test_a_name_that_cannot_be_given_takes_back_those_that_were(noise, tmp_path, monkeypatch, failing):
    chain, _ = noise
    replace = Path.replace

    def fail(self, to):
        if to.name == failing:
            raise OSError(errno.EIO, "it is broken")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(VhdxError, match="cannot rename"):
        write(chain, tmp_path / "out.E01")
    assert [path.name for path in segments(tmp_path)] == [failing + ".part"]


def test_an_interrupted_run_leaves_no_segment(noise, tmp_path, monkeypatch):
    chain, _ = noise
    further = SegmentedSink.further

    def interrupt(sink):
        if len(list(tmp_path.glob("*.part"))) == 2:
            raise KeyboardInterrupt
        return further(sink)

    monkeypatch.setattr(SegmentedSink, "further", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(chain, tmp_path / "out.E01")
    assert [path.name for path in tmp_path.iterdir()] == ["in.vhdx"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_name_that_is_taken_is_refused_and_kept(noise, tmp_path, number):
    """The fourth is behind what is written, and yet a reader would take it for a part of it."""
    chain, _ = noise
    taken = segment_name(tmp_path / "out.E01", number)
    taken.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        write(chain, tmp_path / "out.E01")
    assert taken.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.vhdx", taken.name]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_source_is_never_replaced_under_any_segments_name(noise, tmp_path, number):
    chain, _ = noise
    for place in range(1, number + 1):
        name = segment_name(tmp_path / "out.E01", place)
        os.link(tmp_path / "in.vhdx", name) if place == number else name.write_bytes(b"old")
    with pytest.raises(OutputError, match="source"):
        write(chain, tmp_path / "out.E01", existing=Existing.REPLACE)


def test_a_folder_under_a_segments_name_is_refused(noise, tmp_path):
    chain, _ = noise
    (tmp_path / "out.E02").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write(chain, tmp_path / "out.E01", existing=Existing.REPLACE)


def test_an_older_longer_output_is_replaced_whole(noise, tmp_path):
    chain, content = noise
    for number in range(1, 8):
        segment_name(tmp_path / "out.E01", number).write_bytes(SIGNATURE + b"old")
    (tmp_path / "out.E09").write_bytes(b"behind a gap, so no reader comes to it")
    write(chain, tmp_path / "out.E01", existing=Existing.REPLACE)
    names = [path.name for path in segments(tmp_path)]
    assert names == ["out.E01", "out.E02", "out.E03", "out.E09"]
    written = [path.read_bytes() for path in segments(tmp_path)[:3]]
    assert b"".join(chunk for data in written for chunk in chunks(data)) == content


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_name_that_is_taken_meanwhile_is_kept(noise, tmp_path, monkeypatch, number):
    chain, _ = noise
    taken = segment_name(tmp_path / "out.E01", number)
    spoil(monkeypatch, lambda _parts: taken.write_bytes(b"precious"))
    with pytest.raises(OutputError, match="appeared"):
        write(chain, tmp_path / "out.E01")
    assert taken.read_bytes() == b"precious"
    assert not [path for path in segments(tmp_path) if path != taken]


def test_a_sealed_file_takes_no_more_bytes_and_is_still_discarded(tmp_path):
    with Sink(tmp_path / "out") as sink:
        sink.write_at(0, b"x")
        sink.seal()
        assert not sink.is_open
        with pytest.raises(VhdxError):
            sink.write_at(1, b"y")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "name"),
    [(1, "E01"), (9, "E09"), (99, "E99"), (100, "EAA"), (125, "EAZ"), (126, "EBA"), (775, "EZZ"), (776, "FAA")],
)
def test_segments_are_called_as_encase_calls_them(number, name):
    assert segment_name(Path("a.b.E01"), number).name == f"a.b.{name}"
    assert segment_name(Path("a.e01"), number).name == f"a.{name.lower()}"


def test_the_last_name_is_zzz():
    assert segment_name(Path("a.E01"), MOST).name == "a.ZZZ"


def layout_of(size, *, target=Path("a.E01"), data_bytes=0, segment_size=None):
    options = e01_options(digests=Digests.NONE, segment_size=segment_size)
    like = new_disk(options, size, MIB, (512, 4096), UUID(int=1))
    return plan(ImageRequest(target=target, format=OutputFormat.E01, like=like, options=options), data_bytes)


@pytest.mark.parametrize(
    ("size", "chunk"), [(1 << 30, 32 << 10), (128 << 30, 32 << 10), (3 << 40, MIB), (64 << 40, MIB)]
)
def test_large_disks_have_larger_chunks(size, chunk):
    assert layout_of(size).chunk == chunk


def test_what_cannot_be_written_is_refused_with_the_way_out():
    for size in (1 << 20, 2048 << 20):
        with pytest.raises(OutputError, match="4M to 2047M"):
            layout_of(1 << 30, segment_size=size)
    with pytest.raises(OutputError, match=r"name it a\.dd\.E01"):
        layout_of(1 << 30, target=Path("a.dd"))
    with pytest.raises(OutputError, match="larger segments"):
        layout_of(64 << 40, data_bytes=64 << 40, segment_size=SMALL)


def test_no_more_is_written_than_the_plan_asked_for(noise, tmp_path):
    chain, _ = noise
    for size in (SMALL, None):
        folder = tmp_path / str(size)
        folder.mkdir()
        plan = plan_conversion(chain, folder / "out.E01", OutputFormat.E01, e01_options(segment_size=size))
        outcome = write(chain, folder / "out.E01", segment_size=size)
        assert outcome.file_size <= plan.needed_bytes
        assert len(segments(folder)) <= plan.image.most_segments


def test_zeros_take_a_five_hundredth_of_the_disk(tmp_path):
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={5: b"x" * 512}) for n in (0, 255)}
    encode(ImageSpec(size=8 << 30, block_size=32 * MIB, blocks=blocks)).write_to(tmp_path / "in.vhdx")
    with vhdx.open_chain(tmp_path / "in.vhdx") as chain:
        outcome = write(chain, tmp_path / "out.E01", digests=Digests.NONE, segment_size=None)
    assert outcome.data_bytes == 2 * MIB
    assert outcome.file_size < (8 << 30) // 540


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "\x1b[2J", "\ud800"])
def test_what_would_break_a_line_of_the_header_is_refused(text):
    with pytest.raises(ValueError, match="printed on one line"):
        CaseData(notes=text)


def test_the_header_says_what_the_examiner_said(tmp_path):
    fixture = fixture_of("dynamic")
    write_files(fixture, tmp_path / "in")
    told = CaseData(case_number="C/7", evidence_number="2", examiner="J. Özil", description="d", notes="n", acquired=60)
    with vhdx.open_chain(tmp_path / "in" / fixture.leaf) as chain:
        write(chain, tmp_path / "out.E01", case=told)
    found = {
        kind: zlib.decompress(body)
        for kind, _, body in sections((tmp_path / "out.E01").read_bytes())
        if "header" in kind
    }
    lines = found["header2"].decode("utf-16").split("\n")
    assert dict(zip(lines[2].split("\t"), lines[3].split("\t"), strict=True)).items() >= {
        "a": "d", "c": "C/7", "n": "2", "e": "J. Özil", "t": "n", "u": "60", "m": "60"
    }.items()  # fmt: skip
    assert "C/7\t2\td\tJ. ?zil\tn" in found["header"].decode("ascii")
    assert "1970 1 1 0 1 0" in found["header"].decode("ascii")
