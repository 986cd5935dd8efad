"""Going on with an image: only while it is what the run left that wrote its map."""

import os
import shutil

import pytest

from analyzer.convert.model import OutputFormat
from analyzer.recover.output import resume as resuming
from analyzer.recovery_map.beside import account_of, map_of
from analyzer.recovery_map.mapfile import Status, read_fingerprint
from tests.analyzer.recover.inputs.test_bad_sectors import SIZE, WHOLE
from tests.analyzer.recover.test_job import AGAIN, MIB, PowerCut, attempt, failing, interrupted, read_image
from vhdx.errors import OutputError

pytestmark = pytest.mark.slow

FORMS = [OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED]
LOST = range(3, 5)
"""Sectors of block 2."""


@pytest.fixture(params=FORMS, ids=[form.value for form in FORMS])
def first(request, tmp_path):
    """An image of a first run, two sectors of which are lost, and its format."""
    target = tmp_path / "disk"
    totals, _ = attempt(target, failing(*LOST), format=request.param)
    assert totals[Status.LOST] == len(LOST) * 512
    return target, request.param


def poke(path, at):
    """Write one other byte, as somebody does who mounts the image: its time is another then."""
    moment = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(moment + 10**9, moment + 10**9))


def place_in(path, form, at):
    """Where a byte of the disk stands in an image: by what stands around it, which stands nowhere else."""
    return at if form is OutputFormat.RAW else path.read_bytes().index(WHOLE[at - at % 512 :][:512]) + at % 512


def test_an_image_that_nobody_touched_is_not_read_to_see_that(first, monkeypatch):
    target, form = first
    monkeypatch.setattr(resuming, "parts_read", None)
    totals, _ = attempt(target, failing(), format=form, **AGAIN)
    assert totals[Status.KNOWN] == SIZE


@pytest.mark.parametrize("at", [2 * MIB + 2 * 512, 2 * MIB + 5 * 512, 3 * MIB - 1])
def test_a_byte_that_was_written_since_is_noticed_wherever_the_map_has_it_as_known(first, at):
    target, form = first
    poke(target, place_in(target, form, at))
    before = {path: path.read_bytes() for path in target.parent.iterdir()}
    with pytest.raises(OutputError, match=r"what disk.map has as known: somebody wrote to it since; .* begin anew"):
        attempt(target, failing(), format=form, **AGAIN)
    assert {path: path.read_bytes() for path in target.parent.iterdir()} == before


def test_a_byte_that_was_written_where_all_is_zeros_is_noticed(tmp_path):
    target = tmp_path / "disk.raw"
    attempt(target, failing(*LOST))
    poke(target, next(at for at in range(0, SIZE, MIB) if not any(WHOLE[at : at + MIB])))
    with pytest.raises(OutputError, match="somebody wrote to it since"):
        attempt(target, failing(), **AGAIN)


def test_a_copy_whose_time_is_another_is_gone_on_with(first, tmp_path):
    target, form = first
    copy = tmp_path / "copies" / "disk"
    copy.parent.mkdir()
    for path in (target, map_of(target)):
        shutil.copyfile(path, copy.with_name(path.name))
    os.utime(copy, ns=(0, 0))
    source = failing(*range(900, 910))
    totals, _ = attempt(copy, source, format=form, **AGAIN)
    assert totals[Status.KNOWN] == SIZE
    assert (copy.read_bytes() if form is OutputFormat.RAW else read_image(copy)) == WHOLE


def test_what_was_written_where_the_image_is_lost_anyway_does_not_count(tmp_path):
    target = tmp_path / "disk.raw"
    attempt(target, failing(*LOST))
    poke(target, 2 * MIB + LOST[0] * 512)
    attempt(target, failing(), **AGAIN)
    assert target.read_bytes() == WHOLE


def test_a_map_of_a_version_that_did_not_tell_is_taken_at_its_word(first):
    target, form = first
    lines = map_of(target).read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("# Image: ")]
    assert len(kept) == len(lines) - 1
    map_of(target).write_text("".join(kept))
    account_of(target).unlink()
    os.utime(target, ns=(0, 0))
    assert attempt(target, failing(), format=form, **AGAIN)[0][Status.KNOWN] == SIZE


def test_an_image_that_got_its_name_before_its_map_did_is_gone_on_with_by_the_older_map(tmp_path, monkeypatch):
    target, states = tmp_path / "disk.raw", set()
    for nth in range(1, 12):
        for path in (target, map_of(target), account_of(target)):
            path.unlink(missing_ok=True)
            path.with_name(f"{path.name}.part").unlink(missing_ok=True)
        attempt(target, failing(*range(3, 600)))
        older = map_of(target).read_text(), target.stat().st_ino
        if not interrupted(monkeypatch, target, nth, PowerCut, failing(3, 4), **AGAIN):
            break
        states.add((map_of(target).read_text() == older[0], target.stat().st_ino == older[1]))
        assert attempt(target, failing(), **AGAIN)[0][Status.KNOWN] == SIZE
        assert target.read_bytes() == WHOLE
    assert (True, False) in states


def test_a_format_that_is_not_read_again_has_no_fingerprint(tmp_path):
    attempt(tmp_path / "disk.qcow2", failing(*LOST), format=OutputFormat.QCOW2)
    assert "# Image" not in map_of(tmp_path / "disk.qcow2").read_text()


@pytest.mark.parametrize("text", ["", "1 bytes", f"1 bytes, modified -1 ns, known {'0' * 64}", "9" * 5000])
def test_what_is_no_fingerprint_is_none(tmp_path, text):
    (tmp_path / "map").write_text(f"# Mapfile\n# Image: {text}\n")
    assert read_fingerprint(tmp_path / "map") is None
