"""Images of other programs' formats, as far as no other program is needed to tell."""

import pytest

import vhdx
from analyzer.convert.convert import plan_conversion
from analyzer.convert.formats.table import FORMATS
from analyzer.convert.model import VHDX_FORMATS, Compression, Options, OutputFormat
from fixtures import Block, BlockState, ImageSpec, encode, write_files
from tests.analyzer.convert.helpers import MIB, SEEDED, convert
from tests.support.catalogue import fixture_of
from tests.support.files import ROOT, open_files, room_of
from vhdx.errors import OutputError, VerificationError
from vhdx.sink import Sink
from vhdx.source import FileSource

pytestmark = pytest.mark.slow

TIB = 1 << 40
IMAGES = [output for output in FORMATS if output is not OutputFormat.E01]
"""E01 has files of its own (test_e01.py)."""
every_image = pytest.mark.parametrize("output", IMAGES)


def test_every_format_has_a_row_in_the_table_and_on_the_page_of_images():
    assert set(FORMATS) == set(OutputFormat) - {OutputFormat.RAW} - VHDX_FORMATS
    page = (ROOT / "docs/images.md").read_text(encoding="utf-8")
    assert not [output for output in OutputFormat if f"`{output.value}`" not in page]


def packed(compression):
    return Options(identities=SEEDED.identities, compression=compression)


def sparse(path, size):
    """A disk with something in its first and in its last block."""
    last = (size - 1) // (32 * MIB)
    blocks = {n: Block(state=BlockState.FULLY_PRESENT, data={5: b"x" * 512}) for n in (0, last)}
    encode(ImageSpec(size=size, block_size=32 * MIB, blocks=blocks)).write_to(path)
    return path


LARGEST = dict.fromkeys([OutputFormat.VHD, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE], 2039 << 30)
"""What a format holds of less than 3 TiB."""


@pytest.mark.parametrize("output", [OutputFormat.RAW, OutputFormat.VHDX, *IMAGES])
def test_a_disk_of_3_tib_with_little_on_it_is_little_work_and_takes_megabytes(tmp_path, monkeypatch, output):
    """Work is counted in bytes written and read, and in calls: time depends on who else is at work."""
    written, read, write_at, read_into = [], [], Sink.write_at, FileSource.read_into

    def counting_writes(sink, offset, data):
        written.append(len(data))
        write_at(sink, offset, data)

    def counting_reads(source, offset, buffer):
        read.append(len(buffer))
        read_into(source, offset, buffer)

    monkeypatch.setattr(Sink, "write_at", counting_writes)
    monkeypatch.setattr(FileSource, "read_into", counting_reads)
    with vhdx.open_chain(sparse(tmp_path / "in.vhdx", LARGEST.get(output, 3 * TIB))) as chain:
        outcome = convert(chain, tmp_path / "out", output)
    assert outcome.data_bytes == 2 * MIB
    most = 100 * MIB if output is OutputFormat.RAW_ZST else 5 * MIB  # zeros cost zstd 4 bytes for each 128 KiB
    assert room_of(tmp_path / "out") < most
    assert sum(written) < most
    assert sum(read) < most + 6 * 32 * MIB + 10 * MIB  # the two blocks, copied, read back, and compared where not noted
    assert len(written) + len(read) < 20_000


@pytest.mark.parametrize("compression", Compression)
def test_a_qcow2_is_the_same_again(chain, tmp_path, compression):
    for name in ("one", "two"):
        convert(chain, tmp_path / name, OutputFormat.QCOW2, packed(compression))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("output", [OutputFormat.RAW, OutputFormat.VHDX])
def test_a_format_without_compression_refuses_it(chain, tmp_path, output):
    with pytest.raises(OutputError, match="no choice of zlib compression"):
        plan_conversion(chain, tmp_path / "out", output, packed(Compression.ZLIB))


def test_zstd_without_its_package_is_refused_with_the_name_of_the_extra(chain, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(OutputError, match="with its extra `zstd`"):
        plan_conversion(chain, tmp_path / "out.qcow2", OutputFormat.QCOW2, packed(Compression.ZSTD))


@every_image
def test_no_more_is_written_than_the_plan_asked_for(chain, tmp_path, output):
    plan = plan_conversion(chain, tmp_path / "out", output, SEEDED)
    convert(chain, tmp_path / "out", output)
    assert room_of(tmp_path / "out") <= plan.needed_bytes + MIB


WAYS = [
    *((OutputFormat.QCOW2, compression) for compression in Compression),
    *((output, Compression.FORMAT) for output in IMAGES[1:]),
]


@pytest.mark.parametrize(("output", "compression"), WAYS)
def test_a_byte_of_data_that_did_not_arrive_is_found(chain, tmp_path, monkeypatch, output, compression):
    flush, done = Sink.flush, []

    def spoiling(sink):
        flush(sink)
        if not done:
            data = bytearray(sink.path.read_bytes())
            place = max(range(0, len(data), 512), key=lambda at: len(set(data[at : at + 512])))
            data[place + 100] ^= 0xFF
            sink.write_at(0, data)
            done.append(place)

    monkeypatch.setattr(Sink, "flush", spoiling)
    with pytest.raises(VerificationError):
        convert(chain, tmp_path / "out", output, packed(compression))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@every_image
def test_an_image_that_is_another_is_closed_by_what_finds_it_so(chain, tmp_path, output):
    """Whoever opens it gets nothing that could be closed, and Windows removes no file that is open."""
    plan = plan_conversion(chain, tmp_path / "out", output, SEEDED)
    (tmp_path / "out").write_bytes(bytes(plan.size + 4096))
    before = open_files()
    with pytest.raises(VerificationError) as told:
        FORMATS[output].image(tmp_path / "out", plan.image)
    assert (open_files(), told.value.path) == (before, tmp_path / "out")


VHDS = [OutputFormat.VHD, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE]


@pytest.mark.parametrize("output", VHDS)
def test_a_disk_that_no_vhd_can_hold_is_refused(tmp_path, output):
    path = sparse(tmp_path / "in.vhdx", 2041 << 30)
    with vhdx.open_chain(path) as chain, pytest.raises(OutputError, match="2040 GiB at most"):
        plan_conversion(chain, tmp_path / "out.vhd", output, SEEDED)


@pytest.mark.parametrize("output", [*VHDS, OutputFormat.VMDK])
def test_sectors_that_a_format_lacks_are_refused(tmp_path, output):
    fixture = fixture_of("sectors-4096")
    write_files(fixture, tmp_path)
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain, pytest.raises(OutputError, match="sectors of 512 bytes"):
        plan_conversion(chain, tmp_path / "out.vhd", output, SEEDED)


def test_a_vhd_for_azure_is_fixed_and_of_whole_mib(tmp_path):
    fixture = fixture_of("unaligned-size")
    write_files(fixture, tmp_path)
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(tmp_path / fixture.leaf) as chain:
        convert(chain, tmp_path / "out.vhd", OutputFormat.VHD_AZURE)
    data = (tmp_path / "out.vhd").read_bytes()
    assert model.size % MIB
    assert (len(data) - 512) % MIB == 0
    assert data[:-512] == model.read(0, model.size).ljust(len(data) - 512, b"\0")
    assert data[-512:-504] == b"conectix"


@pytest.mark.parametrize("length", [1, 512, 4096, 128 << 10, (128 << 10) + 1, MIB + 512, 5 * MIB])
def test_a_frame_of_zeros_unpacks_to_zeros(length):
    import zstandard

    from analyzer.convert.formats.raw_zst import zeros_frame

    assert zstandard.ZstdDecompressor().decompress(zeros_frame(length)) == bytes(length)


def in_refcount_block(data):
    table = int.from_bytes(data[48:56], "big")
    return int.from_bytes(data[table : table + 8], "big") + 2 * 2 + 1


PLACES = {
    "version": lambda _: 7,
    "L1 entry": lambda _: (64 << 10) + 3,
    "place of the refcount table": lambda _: 52,
    "refcount": in_refcount_block,
}


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_structure_of_a_qcow2_is_found(chain, tmp_path, monkeypatch, compression, place):
    flush = Sink.flush

    def spoiling(sink):
        flush(sink)
        data = bytearray(sink.path.read_bytes())
        data[PLACES[place](data)] ^= 1
        sink.write_at(0, data)

    monkeypatch.setattr(Sink, "flush", spoiling)
    with pytest.raises(VerificationError):
        convert(chain, tmp_path / "out", OutputFormat.QCOW2, packed(compression))
