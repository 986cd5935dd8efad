"""What is named and does not belong to the chain changes nothing of what is known, and is told."""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from analyzer.convert.model import Options, OutputFormat
from analyzer.recover.inputs.collect import AssumedTwiceError
from analyzer.recover.inputs.foreign_files import CopiesDifferError
from analyzer.recover.inputs.segments import SeveralDisksError
from analyzer.recover.job import RecoverOptions, plan_recovery, run_recovery
from analyzer.recovery_map.mapfile import Status
from fixtures import Brush, Identity, ImageSpec, encode, write_files
from fixtures.recipes.kit import child_of
from tests.support.catalogue import fixture_of
from vhdx.errors import ChainError, InputOutputError, NotRegularFileError, OutputError
from vhdx.parents import Search
from vhdx.sink import Existing

MIB = 1 << 20


@pytest.fixture
def chain(tmp_path):
    """The files of a chain of three, base first."""
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    return [tmp_path / name for name in reversed(fixture.chain)]


def recovered(*inputs, **request):
    """Bytes by status, the files of the levels, and the findings."""
    with plan_recovery(RecoverOptions(inputs=tuple(inputs), search=Search(), **request)) as plan:
        return plan.provenance.totals().bytes_of, [level.path for level in plan.levels], plan.findings


def test_a_stray_file_is_passed_over_and_takes_nothing_away(chain, tmp_path):
    alone = recovered(*chain)
    assert alone[0][Status.KNOWN] == sum(alone[0].values())
    for name, content in (("notes.txt", b"a shopping list"), ("photo.jpg", b"\xff\xd8\xff" + os.urandom(5000))):
        stray = tmp_path / name
        stray.write_bytes(content)
        totals, levels, findings = recovered(*chain, stray)
        assert (totals, levels) == alone[:2]
        assert [finding.code for finding in findings if finding.path == stray] == ["FID-01"]


@pytest.fixture
def orphan(chain):
    """The leaf, whose parents are gone."""
    for path in chain[:-1]:
        path.unlink()
    return chain[-1]


def test_a_file_with_a_disks_name_or_any_sign_of_one_may_still_be_the_missing_layer(orphan, tmp_path):
    wiped, signed = tmp_path / "wiped.vhdx", tmp_path / "signed.bin"
    wiped.write_bytes(bytes(1 << 20))
    signed.write_bytes(bytes(1 << 16) + b"head" + bytes(1 << 20))
    for file in (wiped, signed):
        totals, levels, _ = recovered(orphan, file)
        alone = recovered(orphan)[0]
        assert totals[Status.LOST] == alone[Status.LOST]
        assert totals[Status.KNOWN] == 0  # it may as well be newer than the orphan
        assert file in levels


def test_a_wiped_file_of_the_name_that_the_orphan_asks_for_is_the_missing_layer(chain):
    orphan, parent = chain[-1], chain[-2]
    chain[0].unlink()
    parent.unlink()
    alone = recovered(orphan)[0]
    assert alone[Status.KNOWN] > 0
    parent.write_bytes(bytes(1 << 20))
    totals, levels, _ = recovered(orphan, parent)
    assert (totals[Status.KNOWN], parent in levels) == (alone[Status.KNOWN], True)


def test_strangers_alone_are_refused_with_their_reason(tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"a shopping list")
    with pytest.raises(ChainError, match="no file can be read"):
        recovered(tmp_path / "notes.txt")


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_copy_of_a_file_is_taken_once(chain, tmp_path, layer):
    copy = tmp_path / "copy.vhdx"
    shutil.copy(chain[layer], copy)
    totals, levels, findings = recovered(*chain, copy)
    assert (totals, len(levels)) == (recovered(*chain)[0], 3)
    assert Counter(finding.code for finding in findings)["CHN-08"] == 1


def test_a_base_of_another_disk_is_told(chain, tmp_path, request):
    own, other = tmp_path / "own", fixture_of("unaligned-size")
    own.mkdir()
    base = Path(shutil.copy(chain[0], own))
    orphan = request.getfixturevalue("orphan")
    write_files(other, tmp_path / "other")
    _, _, findings = recovered(orphan, assumed_base=tmp_path / "other" / other.leaf)
    assert any("may be another disk's" in finding.message for finding in findings)
    _, _, findings = recovered(orphan, assumed_base=base)
    assert not any("may be another disk's" in finding.message for finding in findings)


def test_of_two_orphans_none_is_called_the_newest(tmp_path):
    """Their times may have been lost in a copy: what both hold must not be known by them."""
    base = ImageSpec(size=8 * MIB, identity=Identity.of("base"), blocks=Brush(tag=1).fulls(range(8)))
    specs = [base]
    for number in range(1, 4):
        specs.append(child_of(specs[-1], f"layer{number}", Brush(tag=number + 1).fulls(range(4))))
    paths = [tmp_path / f"layer{number}.avhdx" for number in (1, 3)]
    for path, spec in zip(paths, (specs[1], specs[3]), strict=True):
        encode(spec).write_to(path)
    for newest in paths:
        for path in paths:
            os.utime(path, (0, 2_000_000_000 if path == newest else 1_000_000_000))
        totals, _, findings = recovered(*paths)
        assert (totals[Status.KNOWN], totals[Status.STALE]) == (0, 4 * MIB)
        assert any("order of the files is not certain" in finding.message for finding in findings)


def test_files_of_two_disks_are_not_stacked(chain, tmp_path):
    other = ImageSpec(size=8 * MIB, identity=Identity.of("other"), blocks=Brush(tag=9).fulls(range(4)))
    orphan = child_of(other, "orphan", Brush(tag=8).fulls(range(2)))
    encode(replace(orphan, identity=replace(orphan.identity, virtual_disk_id=uuid4()))).write_to(
        tmp_path / "orphan.avhdx"
    )
    with pytest.raises(SeveralDisksError, match="orphan"):
        recovered(*chain, tmp_path / "orphan.avhdx")


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_a_name_that_is_none_of_a_file_is_refused_and_no_layer(chain, tmp_path, kind):
    slip = tmp_path / "slip.avhdx"
    if kind == "folder":
        slip.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes with names")
        os.mkfifo(slip)
    for how in ({"inputs": (*chain, slip)}, {"inputs": (chain[-1],), "assumed_base": slip}):
        with pytest.raises((InputOutputError, NotRegularFileError), match="slip"):
            recovered(*how.pop("inputs"), **how)


def test_a_layer_is_not_its_own_base(orphan):
    with pytest.raises(AssumedTwiceError, match="layer2"):
        recovered(orphan, assumed_base=orphan)


def test_a_parent_that_lost_its_identity_is_found_by_the_name_that_its_child_has(chain):
    base, middle, leaf = chain
    with middle.open("r+b") as file:
        file.seek(64 << 10)
        file.write(bytes(128 << 10))
    totals, levels, findings = recovered(*chain)
    assert None in levels  # the doubt between the two
    assert [path for path in levels if path] == [base, middle, leaf]
    assert any("whose identity is lost" in finding.message for finding in findings)
    assert totals[Status.LOST] == 0


def test_copies_that_a_search_finds_are_one_parent_and_others_are_refused(chain, tmp_path):
    base, middle, leaf = chain
    for name in ("n.dat.vhdx", "q.vhdx"):
        shutil.copy(base, tmp_path / name)
    base.unlink()
    totals, levels, findings = recovered(leaf, middle)
    assert (totals[Status.LOST], len(levels)) == (0, 3)
    assert "CHN-08" in {finding.code for finding in findings}
    with (tmp_path / "q.vhdx").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(CopiesDifferError, match="differ"):
        recovered(leaf, middle)


def test_no_output_takes_the_place_of_a_layer_that_nothing_links(chain, tmp_path):
    base, middle, leaf = chain
    middle.unlink()
    forced = Options(existing=Existing.REPLACE)
    with pytest.raises(OutputError, match="may be a layer of it"):
        recovered(leaf, target=base, format=OutputFormat.VHDX, options=forced)


def test_an_older_output_is_replaced_although_it_is_of_the_same_disk(chain, tmp_path):
    target, forced = tmp_path / "out" / "disk.vhdx", Options(existing=Existing.REPLACE)
    target.parent.mkdir()
    for _ in range(2):
        request = RecoverOptions(
            inputs=tuple(chain), search=Search(), target=target, format=OutputFormat.VHDX, options=forced
        )  # fmt: skip
        with plan_recovery(request) as plan:
            run_recovery(plan, lambda _plan, _totals: ["{}"])
    assert target.exists()


def test_a_copy_whose_front_is_damaged_is_passed_over(chain, tmp_path):
    base, middle, leaf = chain
    shutil.copy(middle, tmp_path / "middle - copy.avhdx")
    with middle.open("r+b") as file:
        file.seek(64 << 10)
        file.write(bytes(256 << 10))
    totals, levels, findings = recovered(*chain, tmp_path / "middle - copy.avhdx")
    assert totals[Status.KNOWN] == sum(totals.values())
    assert [finding.path for finding in findings if finding.code == "CHN-08"] == [middle]
    assert levels == [base, tmp_path / "middle - copy.avhdx", leaf]
