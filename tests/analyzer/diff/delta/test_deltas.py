"""Deltas between states of random disks: they give the new state from the old one, and from no other."""

import struct
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vhdx
from analyzer.address.state import State
from analyzer.convert.convert import run_conversion
from analyzer.convert.disks import RawDisk
from analyzer.convert.model import Options, OutputFormat, Verify
from analyzer.diff.delta.delta import NO_ID, Delta, DeltaHeader, PatchedDisk, build_header, plan_application
from analyzer.diff.delta.export import plan_export, run_export
from analyzer.diff.find import Trust, plan_changes
from tests.support.files import ROOT
from tests.support.laws import assert_lawful
from tests.support.strategies import stacks
from vhdx.errors import DamagedDeltaError, WrongBaseError
from vhdx.identities import seeded_identities
from vhdx.reader import Reader
from vhdx.runs import concatenate
from vhdx.sink import Existing

pytestmark = pytest.mark.property

OPTIONS = Options(identities=seeded_identities("deltas"), existing=Existing.REPLACE)


def export(old, new, target, trust=Trust.PROVENANCE):
    plan = plan_export(
        plan_changes(old, new, trust), State(old, old), State(new, new), target, Existing.REPLACE, Verify.READ_BACK
    )
    return run_export(plan, old, new)


def apply(delta, base, target, output):
    return run_conversion(plan_application(delta, State(base, base), target, output, OPTIONS), PatchedDisk(base, delta))


@settings(max_examples=15)
@given(stacks(max_layers=4, max_mib=5), st.data(), st.sampled_from(Trust))
def test_a_delta_gives_the_new_state_from_the_old_one_bit_for_bit(tmp_path_factory, stack, data, trust):
    folder = tmp_path_factory.mktemp("delta")
    paths = stack.write_to(folder)
    one, other = (data.draw(st.integers(0, len(paths) - 1)) for _ in range(2))
    with vhdx.open_chain(paths[-1]) as chain:
        old, new = chain.upto(one), chain.upto(other)
        told = export(old, new, folder / "x.delta", trust)
        assert told.verified
        assert told.file_size == 512 + told.data_bytes + 24 * told.range_count
        with Delta(folder / "x.delta") as delta:
            patched = PatchedDisk(old, delta)
            assert Reader(patched).read(0, patched.size) == stack.disks[other].bytes
            assert_lawful(concatenate(patched.windows()), 0, patched.size)
            middle = patched.size // 1024 * 512
            assert Reader(patched).read(middle, min(4096, patched.size - middle)) == stack.disks[other].read(
                middle, 4096
            )
            apply(delta, old, folder / "out.raw", OutputFormat.RAW)
            apply(delta, old, folder / "out.vhdx", OutputFormat.VHDX)
    assert (folder / "out.raw").read_bytes() == stack.disks[other].bytes
    with vhdx.open_chain(folder / "out.vhdx") as out:
        assert out.read(0, out.size) == stack.disks[other].bytes


@settings(max_examples=25)
@given(st.binary(max_size=5000), st.binary(max_size=5000), st.data())
def test_a_delta_of_raw_images_fits_its_base_and_no_other(tmp_path_factory, before, after, data):
    folder = tmp_path_factory.mktemp("raw")
    first, second, third = (folder / name for name in ("old.raw", "new.raw", "other.raw"))
    first.write_bytes(before)
    second.write_bytes(after)
    with RawDisk(first) as old, RawDisk(second) as new:
        export(old, new, folder / "x.delta")
    with Delta(folder / "x.delta") as delta, RawDisk(first) as old:
        apply(delta, old, folder / "out.raw", OutputFormat.RAW)
    assert (folder / "out.raw").read_bytes() == after
    other = bytearray(before or b"x")
    if before:
        other[data.draw(st.integers(0, len(before) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    third.write_bytes(other)
    with Delta(folder / "x.delta") as delta, RawDisk(third) as base, pytest.raises(WrongBaseError):
        apply(delta, base, folder / "refused.raw", OutputFormat.RAW)
    assert not list(folder.glob("refused*"))


@settings(max_examples=60)
@given(st.data())
def test_a_delta_with_any_bit_flipped_or_cut_anywhere_is_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "flips"
    whole = folder / "whole.delta"
    if not folder.exists():
        folder.mkdir()
        (folder / "old.raw").write_bytes(bytes(3000) + b"old" * 1000)
        (folder / "new.raw").write_bytes(b"new" * 900 + bytes(9000) + b"newer" * 20)
        with RawDisk(folder / "old.raw") as old, RawDisk(folder / "new.raw") as new:
            export(old, new, whole)
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    (folder / "bad.delta").write_bytes(content)
    with pytest.raises(DamagedDeltaError):
        Delta(folder / "bad.delta").file.close()


def test_the_reader_of_the_format_document_reads_a_delta(tmp_path):
    """The document has a reader of its own, with the standard library alone: it is run as it stands there."""
    import re

    text = (ROOT / "docs/delta-format.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    old, new = bytes(5000) + b"old" * 3000, b"new" * 3000 + bytes(70000) + b"end"
    for name, content in (("old.raw", old), ("new.raw", new)):
        (tmp_path / name).write_bytes(content)
    with RawDisk(tmp_path / "old.raw") as before, RawDisk(tmp_path / "new.raw") as after:
        export(before, after, tmp_path / "x.delta")
    names = {}
    exec(compile(code, "reader", "exec"), names)  # noqa: S102 - the document's own example
    with (tmp_path / "x.delta").open("rb") as delta, (tmp_path / "old.raw").open("r+b") as disk:
        names["apply"](delta, disk)
    assert (tmp_path / "old.raw").read_bytes() == new


ROWS = {
    "before the disk": [(-512, 512, 0)],
    "past the disk's end": [(8000, 600, 0)],
    "empty": [(0, 0, 0)],
    "larger than a number": [(1, 2**63 - 1, 0)],
    "in the header": [(0, 100, 1)],
    "past the data": [(0, 100, 512 + 1000)],
    "before the file": [(0, 100, -600)],
    "one over the other": [(0, 100, 0), (99, 10, 0)],
    "falling": [(100, 10, 0), (0, 10, 0)],
}


@pytest.mark.parametrize("what", ROWS)
def test_a_delta_whose_checksums_are_right_and_whose_ranges_are_not_is_refused(tmp_path, what):
    table, data = b"".join(struct.pack("<3q", *row) for row in ROWS[what]), bytes(range(1, 51)) * 20
    path = tmp_path / "bad.delta"
    path.write_bytes(build_header(header_of(table, data)) + data + table)
    with pytest.raises(DamagedDeltaError, match="ranges"):
        Delta(path)


@pytest.mark.parametrize(
    "change",
    [{"new_size": 1 << 63}, {"logical_sector_size": 0}, {"physical_sector_size": 7}, {"block_size": 0}],
    ids=lambda change: next(iter(change)),
)
def test_a_delta_that_tells_of_no_possible_disk_is_refused(tmp_path, change):
    path = tmp_path / "bad.delta"
    path.write_bytes(build_header(replace(header_of(b"", b""), **change)))
    with pytest.raises(DamagedDeltaError, match="no disk has"):
        Delta(path)


def header_of(table, data):
    return DeltaHeader(
        old_size=8192,
        new_size=8192,
        table_offset=512 + len(data),
        row_count=len(table) // 24,
        logical_sector_size=512,
        physical_sector_size=4096,
        block_size=1 << 20,
        old_disk_id=NO_ID,
        new_disk_id=NO_ID,
        old_data_write_guid=NO_ID,
        new_data_write_guid=NO_ID,
        before=sha256(bytes(8192)).digest(),
        after=bytes(32),
        data_hash=sha256(data).digest(),
        table_hash=sha256(table).digest(),
    )


def test_a_delta_that_makes_another_state_than_it_promises_is_refused_before_writing(tmp_path):
    (tmp_path / "bad.delta").write_bytes(build_header(header_of(b"", b"")))
    (tmp_path / "old.raw").write_bytes(bytes(8192))
    refused = pytest.raises(DamagedDeltaError, match="not the state")
    with Delta(tmp_path / "bad.delta") as delta, RawDisk(tmp_path / "old.raw") as base, refused:
        apply(delta, base, tmp_path / "out.raw", OutputFormat.RAW)
    assert not list(tmp_path.glob("out*"))
