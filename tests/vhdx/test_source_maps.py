"""Files that ddrescue copied in part: by the map beside them, what was never read is lost, and all else is right."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures import Block, BlockState, Identity, ImageSpec, encode
from tests.support.files import symbolic_link
from tests.support.strategies import stacks
from vhdx.chain import open_chain
from vhdx.errors import LostDataError, NotRescuedError, VhdxError
from vhdx.image import open_image
from vhdx.lost import NoteLost
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.source_map import SUFFIXES, SourceMapError, SourceMaps, files_of, maps_beside, unread_by

MIB, KIB = 1 << 20, 1 << 10
GNU = "# Mapfile. Created by GNU ddrescue version 1.27"
OLD = "# Rescue Logfile. Created by GNU ddrescue version 1.17"


def map_text(size, unread, title=GNU, signs="-"):
    """A map of a file of which some ranges were not read; what was is `+`."""
    lines = [title, "# Command line: ddrescue -d /dev/sdb1 copy", "0x00000000     +               1"]
    for number, (part, is_unread) in enumerate(unread.split(Range(0, size))):
        lines.append(f"0x{part.start:08X}  0x{part.length:08X}  {signs[number % len(signs)] if is_unread else '+'}")
    return "\n".join(lines) + "\n"


def copied_in_part(path, unread, **how):
    """What ddrescue would leave: zeros where it could not read, and its map."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for part in unread:
            file.seek(part.start)
            file.write(bytes(part.length))
    place = path.with_name(path.name + ".map")
    place.write_text(map_text(size, unread, **how))
    return place


def sectors_of(draw, size, most=6):
    """Ranges of whole sectors of a file, and in small files now and then none that is whole."""
    starts = draw(st.lists(st.integers(0, size // 512 - 1), max_size=most))
    return Ranges.of(Range(at * 512, draw(st.sampled_from((1, 8, 8, 128, 2048))) * 512) for at in starts).within(
        Range(0, size)
    )


@pytest.mark.slow
@given(stacks(max_layers=3, max_mib=6), st.data())
def test_nothing_that_was_not_read_is_given_out_whatever_structure_it_was_of(stack, data):
    with TemporaryDirectory() as folder:
        paths = stack.write_to(Path(folder))
        number = data.draw(st.integers(0, len(paths) - 1))
        copied_in_part(
            paths[number],
            sectors_of(data.draw, paths[number].stat().st_size),
            signs=data.draw(st.sampled_from(("-", "?", "*", "/", "-?*/"))),
        )
        try:
            chain = open_chain(paths[-1], parents=paths[-2::-1])
        except VhdxError:  # a structure of which there is no other copy
            return
        with chain:
            lost = NoteLost(chain.sector_size)
            found = bytearray(Reader(chain, lost).read(0, chain.size))
            expected = bytearray(stack.disks[-1].bytes)
            for part in lost.take_missed():
                expected[part.start : part.end] = found[part.start : part.end] = bytes(part.length)
            assert found == expected


@pytest.mark.property
@given(stacks(max_layers=3, max_mib=6), st.data())
def test_only_the_sectors_are_lost_that_rest_on_what_was_not_read(stack, data):
    with TemporaryDirectory() as folder:
        paths = stack.write_to(Path(folder))
        with open_chain(paths[-1], parents=paths[-2::-1]) as chain:
            held = chain.runs().of_kind(0)
            if not len(held):
                return
            number = data.draw(st.sampled_from(sorted(set(held.layer.tolist()))))
            mine = held.select(held.layer == number)
            # Data alone: which sectors of the disk that are is known without the code under test.
            unread = Ranges.of_columns(mine.file_offset, mine.length) & Ranges.of(
                Range(run.file_offset + 512 * data.draw(st.integers(0, run.length // 512 - 1)), 512 * length)
                for run in data.draw(st.lists(st.sampled_from(list(mine)), min_size=1, max_size=4))
                for length in (data.draw(st.sampled_from((1, 8, 128))),)
            )
            sector = chain.sector_size
        copied_in_part(paths[number], unread)
        expected = [
            Range.between(
                (part.start - run.file_offset + run.start) // sector * sector,
                -(-(part.end - run.file_offset + run.start) // sector) * sector,
            )
            for run in mine
            for part in unread.within(Range(run.file_offset, run.length))
        ]
        with open_chain(paths[-1], parents=paths[-2::-1]) as chain:
            lost = chain.runs().of_kind(4)
            assert Ranges.of_columns(lost.start, lost.length) == Ranges.of(expected)
            with pytest.raises(LostDataError, match="was not read when the file was copied") as caught:
                chain.read(0, chain.size)
            assert "map" in str(caught.value)


def a_file(folder, name="disk.vhdx", identity="copied"):
    """A disk of 8 MiB, all of it data."""
    data = {number: Block(state=BlockState.FULLY_PRESENT, data={0: bytes([1 + number]) * MIB}) for number in range(8)}
    path = folder / name
    encode(ImageSpec(size=8 * MIB, identity=Identity.of(identity), blocks=data)).write_to(path)
    return path


def unread_page(path):
    """A page in the last block of the file."""
    return Ranges.of([Range(path.stat().st_size - MIB, 4 * KIB)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("title", [GNU, OLD])
def test_a_map_is_known_by_how_it_begins_under_any_name_that_is_put_behind_that_of_the_file(tmp_path, suffix, title):
    path = a_file(tmp_path)
    place = copied_in_part(path, unread_page(path), title=title)
    place.rename(path.with_name(path.name + suffix))
    with open_chain(path) as chain:
        assert [finding.code for finding in chain.findings] == ["FID-12"]
        assert chain.runs().bytes_of(4) == 4 * KIB
        with pytest.raises(NotRescuedError, match="were not read when the file was copied"):
            chain.base.file.read_into(path.stat().st_size - MIB, memoryview(bytearray(512)))


def test_a_map_of_any_other_program_is_left_alone(tmp_path):
    path = a_file(tmp_path)
    copied_in_part(path, unread_page(path), title="# Mapfile. Created by vhdx recover")
    assert maps_beside(path) == ()


def test_a_map_of_another_name_counts_when_it_is_given_and_alone(tmp_path):
    path = a_file(tmp_path)
    place = copied_in_part(path, unread_page(path))
    with open_chain(path, source_maps=SourceMaps(((path, place.rename(tmp_path / "monday.txt")),))) as chain:
        assert chain.runs().bytes_of(4) == 4 * KIB
    place.write_text(map_text(path.stat().st_size, Ranges.of([Range(0, MIB)])))
    with open_chain(path, source_maps=SourceMaps(((path, tmp_path / "monday.txt"),))) as chain:
        assert chain.runs().bytes_of(4) == 4 * KIB


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_map_with_another_ending_counts_where_it_says_that_it_is_of_the_file(tmp_path, suffix):
    path = a_file(tmp_path)
    place = copied_in_part(path, unread_page(path))
    place = place.rename(path.with_suffix(suffix))
    assert maps_beside(path) == (), "it is of a file called copy"
    place.write_text(place.read_text().replace("/dev/sdb1 copy", "/dev/sdb1 /mnt/rescue/disk.vhdx"))
    assert maps_beside(path) == (place,)


def test_a_map_is_of_the_files_that_it_fits_and_of_these_of_the_ones_that_it_names(tmp_path):
    path, other = a_file(tmp_path), a_file(tmp_path, "other.vhdx")
    place = copied_in_part(path, unread_page(path)).rename(tmp_path / "rescue.log")
    assert files_of(place, [path, other]) == [path, other]
    place.write_text(place.read_text().replace(" copy", " other.vhdx"))
    assert files_of(place, [path, other]) == [other]
    place.write_text(map_text(MIB, Ranges.of([])))
    assert files_of(place, [path, other]) == []


def test_a_map_beside_what_a_link_leads_to_is_found(tmp_path):
    path = a_file(tmp_path)
    place = copied_in_part(path, unread_page(path))
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "linked.vhdx"
    symbolic_link(link, path)
    assert maps_beside(link) == (place,)


def test_a_map_that_says_that_all_was_read_changes_nothing(tmp_path):
    path = a_file(tmp_path)
    copied_in_part(path, Ranges.of(()))
    with open_chain(path) as chain:
        assert (chain.findings, chain.runs().bytes_of(4)) == ((), 0)


@pytest.mark.parametrize("copy", ["header", "region table"])
def test_one_copy_of_a_structure_that_was_not_read_leaves_the_other_to_serve(tmp_path, copy):
    path = a_file(tmp_path)
    at = 128 * KIB if copy == "header" else 192 * KIB
    copied_in_part(path, Ranges.of([Range(at, 4 * KIB)]))
    with open_chain(path) as chain:
        assert chain.read(0, chain.size) == b"".join(bytes([1 + number]) * MIB for number in range(8))


def test_where_no_copy_serves_the_error_names_the_map(tmp_path):
    path = a_file(tmp_path)
    place = copied_in_part(path, Ranges.of([Range(0, 4 * KIB)]))
    with pytest.raises(NotRescuedError) as caught:
        open_image(path)
    assert (caught.value.map, caught.value.exit_code) == (place, 3)


def test_the_end_of_a_map_may_be_past_the_file_where_nothing_of_it_was_read(tmp_path):
    path = a_file(tmp_path)
    size = path.stat().st_size
    text = map_text(size, Ranges.of(())) + f"0x{size:08X}  0x00100000  ?\n"
    path.with_name("disk.vhdx.map").write_text(text)
    with open_chain(path) as chain:
        assert chain.findings == ()


WHOLE = "0x00000000  0x{size:08X}  +\n"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0x00000000  0x00100000  +\n", "it covers 1048576 bytes and the file has"),
        ("", "it covers 0 bytes and the file has"),
        (WHOLE + "0x{size:08X}  0x00000200  +\n", "as read and the file has"),
        (WHOLE + "0x00000000  0x00000200  -\n", "its ranges overlap"),
        ("0x00000000  0x{size:08X}  x\n", "is no range"),
        ("0x00000000  ten  +\n", "invalid literal"),
        ("0x00000000  0x{size:08X}\n", "not enough values"),
        ("0x00000000  -0x200  +\n", "is no range"),
        ("0x00000000  0xFFFFFFFFFFFFFFFFFF  +\n", "is no range"),
    ],
)
def test_a_map_that_does_not_fit_is_one_sentence_with_what_to_do(tmp_path, rows, said):
    path = a_file(tmp_path)
    place = tmp_path / "disk.vhdx.map"
    place.write_text(f"{GNU}\n0x0 + 1\n" + rows.format(size=path.stat().st_size))
    with pytest.raises(SourceMapError) as caught:
        open_chain(path)
    assert said in str(caught.value)
    assert "--source-map FILE=MAP, or move this one away" in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_map_fail_otherwise(content):
    with TemporaryDirectory() as folder:
        place = Path(folder) / "any.map"
        place.write_bytes(GNU.encode() + b"\n" + content)
        try:
            found = unread_by(place, Path("file"), 1 << 20)
        except SourceMapError:
            return
        assert Ranges.of([Range(0, 1 << 20)]) == found | Ranges.of([Range(0, 1 << 20)])
