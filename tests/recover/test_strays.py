"""What is named and does not belong to the chain changes nothing of what is known, and is told."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from analyzer.recover import Status, Wishes, plan_recovery
from analyzer.recover.job import count
from fixtures import RECIPES, write_files
from vhdx.errors import ChainError
from vhdx.parents import Search


@pytest.fixture
def chain(tmp_path):
    """The files of a chain of three, base first."""
    fixture = RECIPES["chain-3"].build()
    write_files(fixture, tmp_path)
    return [tmp_path / name for name in reversed(fixture.chain)]


def recovered(*inputs, **wishes):
    """Bytes by status, the files of the levels, and the findings."""
    with plan_recovery(Wishes(inputs=tuple(inputs), search=Search(), **wishes)) as plan:
        return count(plan).bytes_of, [level.path for level in plan.levels], plan.findings


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
        assert totals == recovered(orphan)[0]
        assert file in levels


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
    own, other = tmp_path / "own", RECIPES["unaligned-size"].build()
    own.mkdir()
    base = Path(shutil.copy(chain[0], own))
    orphan = request.getfixturevalue("orphan")
    write_files(other, tmp_path / "other")
    _, _, findings = recovered(orphan, assumed_base=tmp_path / "other" / other.leaf)
    assert any("may be another disk's" in finding.message for finding in findings)
    _, _, findings = recovered(orphan, assumed_base=base)
    assert not any("may be another disk's" in finding.message for finding in findings)
