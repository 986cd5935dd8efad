"""Baselines: what is known is not told again, and nothing else is left out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.check.result import BaselineError, all_findings, new_findings, read_baseline
from analyzer.report.findings.documents import check_document
from tests.support.checks import FOLDER, finding, some, subject
from vhdx.errors import InputOutputError


def earlier_answer(checked):
    return {"schema": "vhdx/1", "command": "check", "findings": []} | check_document(checked)


@pytest.fixture
def written(tmp_path):
    def write(document):
        path = tmp_path / "baseline.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def moved(checked, old, new):
    """The same subjects in another folder."""

    def move(path):
        return new / path.relative_to(old)

    return tuple(
        replace(
            each,
            path=move(each.path),
            files=tuple(map(move, each.files)),
            findings=tuple(replace(found, path=move(found.path)) for found in each.findings),
        )
        for each in checked
    )


def test_what_an_earlier_check_told_is_known(written):
    baseline = read_baseline(written(earlier_answer(some())))
    left = new_findings(some(), baseline)
    assert all_findings(left) == ()
    assert [each.path for each in left] == [each.path for each in some()]


def test_findings_stay_known_when_their_folder_moves(written):
    baseline = read_baseline(written(earlier_answer(some())))
    assert all_findings(new_findings(moved(some(), FOLDER, Path("/new/home")), baseline)) == ()


@pytest.mark.parametrize(
    "other",
    [{"offset": 0}, {"length": 16}, {"disk_start": 0}, {"code": "BAT-05"}, {"path": FOLDER / "two/disk.vhdx"}],
)
def test_another_place_code_or_file_is_new(written, other):
    baseline = read_baseline(written(earlier_answer(some())))
    fresh = finding(**({"disk_start": 1 << 20, "disk_length": 1 << 20} | other))
    checked = (*some(), subject(fresh))
    assert all_findings(new_findings(checked, baseline)) == (fresh,)


def test_other_words_for_the_same_thing_are_known(written):
    known = subject(finding())
    baseline = read_baseline(written(earlier_answer([known])))
    assert all_findings(new_findings([subject(finding(message="put otherwise"))], baseline)) == ()


def test_a_part_of_what_was_checked_is_known_by_the_path_as_given(written):
    baseline = read_baseline(written(earlier_answer(some())))
    assert all_findings(new_findings(some()[:1], baseline)) == ()


def listing(row):
    return {"command": "check", "subjects": [{"findings": [row]}]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "no answer of `vhdx check`"),
        ({}, "no answer of `vhdx check`"),
        ({"command": "hash"}, "no answer of `vhdx check`"),
        ({"command": "check"}, "no list of subjects"),
        ({"command": "check", "subjects": [1]}, "no list of findings"),
        (listing(1), "finding 0 has no code"),
        (listing({"code": "A"}), "finding 0 has no path"),
        (listing({"code": "A", "path": []}), "finding 0 has no path"),
        (listing({"code": "A", "path": "b", "offset": "1"}), "a place that is no"),
    ],
)
def test_a_malformed_baseline_is_one_sentence(written, document, reason):
    path = written(document)
    with pytest.raises(BaselineError) as caught:
        read_baseline(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "vhdx check --format json" in str(caught.value)


def test_a_baseline_that_is_no_text_or_not_there_is_one_sentence(tmp_path):
    path = tmp_path / "baseline"
    path.write_bytes(b"\xff")
    with pytest.raises(BaselineError, match="no UTF-8"):
        read_baseline(path)
    with pytest.raises(InputOutputError):
        read_baseline(tmp_path / "absent")
