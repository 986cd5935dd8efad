"""Outputs that must not come to be: refused targets, full disks, and writes that did not arrive."""

import errno
import os

import pytest

import vhdx
from analyzer.convert.convert import plan_conversion
from analyzer.convert.merge_upper import plan_merge_upper
from analyzer.convert.model import Options, OutputFormat, Verify
from fixtures import write_files
from tests.analyzer.convert.helpers import MIB, SEEDED, convert, entries, merge
from tests.support.catalogue import fixture_of
from tests.support.corpus_files import file_hash
from tests.support.files import let_go, symbolic_link
from vhdx.errors import NoSpaceError, OutputError, SourceChangedError, VerificationError
from vhdx.runs import Kind
from vhdx.sink import Existing, Sink, part_of

pytestmark = pytest.mark.slow


def do(kind, chain, target, options=SEEDED):
    """One of the four outputs."""
    if kind == "merge":
        return merge(chain, chain.base.path, target, options)
    return convert(chain, target, OutputFormat(kind), options)


KINDS = ["raw", "vhdx", "vhdx-fixed", "merge"]
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_an_existing_target_is_refused_and_kept(chain, tmp_path, kind):
    target = tmp_path / "out"
    target.write_bytes(b"precious")
    with pytest.raises(OutputError) as caught:
        do(kind, chain, target)
    assert caught.value.exit_code == 5
    assert target.read_bytes() == b"precious"
    assert not part_of(target).exists()


@every_kind
def test_an_existing_target_is_replaced_on_request(chain, tmp_path, kind):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    do(kind, chain, target, Options(identities=SEEDED.identities, existing=Existing.REPLACE))
    assert target.stat().st_size > 3
    assert not part_of(target).exists()


@every_kind
@pytest.mark.parametrize("how", ["itself", "symbolic link", "hard link"])
@pytest.mark.parametrize("existing", Existing)
def test_no_layer_of_the_chain_can_be_the_target(chain, tmp_path, kind, how, existing):
    for number, layer in enumerate(chain.layers):
        before = file_hash(layer.path)
        target = tmp_path / f"out{number}"
        if how == "itself":
            target = layer.path
        elif how == "symbolic link":
            symbolic_link(target, layer.path)
        else:
            os.link(layer.path, target)
        with pytest.raises(OutputError):
            do(kind, chain, target, Options(existing=existing))
        assert file_hash(layer.path) == before


@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="this system writes by other calls")
@every_kind
def test_a_full_disk_is_exit_code_5_and_leaves_nothing(chain, tmp_path, monkeypatch, kind):
    whole, calls = os.pwrite, []

    def fill_up(descriptor, data, offset):
        calls.append(offset)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", fill_up)
    target = tmp_path / "out"
    with pytest.raises(OutputError) as caught:
        do(kind, chain, target)
    assert caught.value.exit_code == 5
    assert not target.exists()
    assert not part_of(target).exists()


@every_kind
def test_too_little_space_is_known_before_anything_is_written(chain, tmp_path, monkeypatch, kind):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 10, MIB))
    with pytest.raises(NoSpaceError):
        do(kind, chain, tmp_path / "out")
    assert not part_of(tmp_path / "out").exists()


@every_kind
def test_an_interrupted_run_leaves_nothing(chain, tmp_path, monkeypatch, kind):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Sink, "flush", interrupt)
    with pytest.raises(KeyboardInterrupt):
        do(kind, chain, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def spoil_between_writing_and_verifying(monkeypatch, damage):
    """Let `damage` have the part file once everything was written and flushed."""
    whole, done = Sink.flush, []

    def flush(self):
        whole(self)
        if not done:
            done.append(self.path)
            with let_go(self):
                damage(self.path)

    monkeypatch.setattr(Sink, "flush", flush)
    return done


def poke(path, offset, data=None):
    """Change bytes of a file; a single bit when no data are given."""
    with path.open("r+b") as handle:
        handle.seek(offset)
        new = data or bytes([handle.read(1)[0] ^ 1])
        handle.seek(offset)
        handle.write(new)


def some_data(chain):
    return next(iter(chain.runs().of_kind(Kind.DATA))).start


def place_of(path, position):
    """Where a byte of the disk stands in a VHDX file."""
    with vhdx.open_image(path) as image:
        return next(
            run.file_offset for run in image.runs() if run.start <= position < run.end and run.kind is Kind.DATA
        )


def first_data_of_its_own(path):
    with vhdx.open_image(path) as image:
        return next(run.file_offset for run in image.runs() if run.kind is Kind.DATA)


def nonzero(path, start):
    """The first byte from `start` that is not zero."""
    with path.open("rb") as handle:
        handle.seek(start)
        data = handle.read(MIB)
    return start + next(at for at, byte in enumerate(data) if byte)


def bat_slot_of_a_block(path):
    with vhdx.open_image(path) as image:
        block = next(n for n, (state, _) in enumerate(entries(image)[0]) if state >= 6)
    return 3 * MIB + 8 * block


DAMAGE = {
    "a flipped bit of the data": lambda path, raw: poke(path, nonzero(path, 0) if raw else first_data_of_its_own(path)),
    "data that never arrived": lambda path, raw: poke(path, 0 if raw else first_data_of_its_own(path), bytes(MIB)),
}


@every_kind
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_write_that_did_not_arrive_is_found_and_leaves_nothing(chain, tmp_path, monkeypatch, kind, damage):
    done = spoil_between_writing_and_verifying(monkeypatch, lambda path: DAMAGE[damage](path, kind == "raw"))
    with pytest.raises(VerificationError) as caught:
        do(kind, chain, tmp_path / "out")
    assert done
    assert caught.value.exit_code == 6
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("kind", ["vhdx", "vhdx-fixed", "merge"])
@pytest.mark.parametrize("entry", [0, 2, 7, 6 | 1000 << 20])
def test_a_wrong_bat_entry_is_found_and_leaves_nothing(chain, tmp_path, monkeypatch, kind, entry):
    spoil_between_writing_and_verifying(
        monkeypatch, lambda path: poke(path, bat_slot_of_a_block(path), entry.to_bytes(8, "little"))
    )
    with pytest.raises(vhdx.VhdxError) as caught:
        do(kind, chain, tmp_path / "out")
    assert caught.value.exit_code in {3, 6}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_wrong_bit_of_a_sector_bitmap_is_found(chain, tmp_path, monkeypatch):
    def damage(path):
        with vhdx.open_image(path) as image:
            (_, place) = entries(image)[1][0]
        poke(path, nonzero(path, place))

    spoil_between_writing_and_verifying(monkeypatch, damage)
    with pytest.raises(VerificationError):
        do("merge", chain, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_bytes_where_the_disk_has_none_are_found_in_a_raw_image(tmp_path, monkeypatch):
    fixture = fixture_of("dynamic")
    write_files(fixture, tmp_path / "in")
    with vhdx.open_chain(tmp_path / "in" / fixture.leaf) as chain:
        hole = next(run for run in chain.runs() if run.kind is not Kind.DATA and run.length >= 2 * MIB)
        spoil_between_writing_and_verifying(monkeypatch, lambda path: poke(path, hole.start + MIB, b"stray"))
        with pytest.raises(VerificationError) as caught:
            convert(chain, tmp_path / "out.raw", OutputFormat.RAW)
    assert caught.value.start <= hole.start + MIB < caught.value.start + caught.value.length


def test_a_structure_that_did_not_arrive_is_found(chain, tmp_path, monkeypatch):
    for offset in (64 << 10, 192 << 10, 2 * MIB):
        with monkeypatch.context() as patch:
            twins = {64 << 10: 128 << 10, 192 << 10: 256 << 10}

            def damage(path, offset=offset, twins=twins):
                for place in (offset, twins.get(offset, offset)):
                    poke(path, place, b"\0" * 8)

            spoil_between_writing_and_verifying(patch, damage)
            with pytest.raises(vhdx.VhdxError):
                convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
        assert not (tmp_path / "out.vhdx").exists()


def test_without_verification_nothing_is_read_back(chain, tmp_path, monkeypatch):
    spoil_between_writing_and_verifying(monkeypatch, lambda path: poke(path, nonzero(path, 0)))
    options = Options(identities=SEEDED.identities, verify=Verify.TRUST)
    outcome = convert(chain, tmp_path / "out.raw", OutputFormat.RAW, options)
    assert not outcome.verified
    assert (tmp_path / "out.raw").read_bytes() != chain.read(0, chain.size)


@every_kind
@pytest.mark.parametrize("number", [0, -1])
def test_a_source_that_changes_under_way_is_said_and_leaves_no_output(chain, tmp_path, monkeypatch, kind, number):
    """What was copied may then be a mixture of before and after."""
    layer = chain.layers[number].path
    spoil_between_writing_and_verifying(monkeypatch, lambda _path: poke(layer, layer.stat().st_size - 1))
    with pytest.raises(SourceChangedError) as caught:
        do(kind, chain, tmp_path / "out")
    assert caught.value.path == layer
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_plans_for_every_output_touch_nothing(chain, tmp_path):
    for output in OutputFormat:
        plan_conversion(chain, tmp_path / "x.E01", output, SEEDED)
    plan_merge_upper(chain, chain.base.path, tmp_path / "x", SEEDED)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_place_of_data_in_an_output_is_where_its_table_says(chain, tmp_path):
    convert(chain, tmp_path / "out.vhdx", OutputFormat.VHDX)
    position = some_data(chain)
    with (tmp_path / "out.vhdx").open("rb") as handle:
        handle.seek(place_of(tmp_path / "out.vhdx", position))
        assert handle.read(512)[: 512 - position % 512] == chain.read(position // 512 * 512, 512)[position % 512 :]


@pytest.mark.parametrize("state", [1, 2, 3])
def test_a_block_that_hides_the_parent_where_it_should_not_is_found(chain, tmp_path, monkeypatch, state):
    """No data is wrong then, and yet the disk is another one."""

    def damage(path):
        with vhdx.open_image(path) as image:
            block = next(n for n, (kept, _) in enumerate(entries(image)[0]) if kept == 0)
        poke(path, 3 * MIB + 8 * block, bytes([state]))

    spoil_between_writing_and_verifying(monkeypatch, damage)
    with pytest.raises(VerificationError):
        do("merge", chain, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
