"""`vhdx check`: what it looks at, what it answers, and when it fails."""

import json
import re
from collections import Counter

import pytest

from analyzer.check import files as files_of_check
from analyzer.check.check import check_chain
from tests.support.files import patch
from vhdx.source import FileSource

HEADER = 64 << 10


@pytest.fixture
def damaged(built):
    """A sound file with one header overwritten: a warning and a note, no error."""
    path, _ = built("dynamic")
    patch(path, HEADER, b"hurt")
    return path


def codes(answer):
    return [finding["code"] for subject in answer.json["subjects"] for finding in subject["findings"]]


def test_a_sound_file_is_sound(vhdx_command, built):
    answer = vhdx_command("check", built("dynamic")[0], "--fail-on", "warning", "--json")
    assert answer.code == 0
    assert answer.json["counts"]["error"] == answer.json["counts"]["warning"] == 0


@pytest.mark.parametrize("form", ["vhdx", "vhdx-fixed"])
def test_what_is_written_here_has_nothing_to_be_told_but_who_made_it_and_that_it_has_holes(
    vhdx_command, chain, tmp_path, form
):
    assert vhdx_command("convert", chain[0], tmp_path / "out.vhdx", "--format", form).code == 0
    answer = vhdx_command("check", tmp_path / "out.vhdx", "--content", "--json")
    assert set(codes(answer)) <= {"FID-05", "FID-10"}
    (maker,) = [finding for finding in answer.json["subjects"][0]["findings"] if finding["code"] == "FID-05"]
    assert "not known" not in maker["message"]


@pytest.mark.parametrize(("severity", "code"), [("error", 0), ("warning", 1), ("note", 1)])
def test_the_severity_that_fails_can_be_chosen(vhdx_command, damaged, severity, code):
    assert vhdx_command("check", damaged, "--fail-on", severity).code == code


def test_codes_can_be_ignored(vhdx_command, damaged):
    answer = vhdx_command("check", damaged, "--fail-on", "warning", "--ignore", "hdr-03", "--json")
    assert answer.code == 0
    assert "HDR-03" not in codes(answer)
    assert "HDR-01" in codes(answer)


def test_an_unknown_code_to_ignore_is_wrong_usage(vhdx_command, damaged):
    assert vhdx_command("check", damaged, "--ignore", "HDR-99").code == 2


def test_what_a_baseline_knows_does_not_fail(vhdx_command, damaged, tmp_path):
    known = tmp_path / "known.json"
    assert vhdx_command("check", damaged, "--json", "-o", known).code == 0
    answer = vhdx_command("check", damaged, "--fail-on", "warning", "--baseline", known, "--json")
    assert answer.code == 0
    assert codes(answer) == []
    assert answer.json["known"] > 0
    patch(damaged, 192 << 10, b"hurt")
    again = vhdx_command("check", damaged, "--fail-on", "warning", "--baseline", known, "--json")
    assert again.code == 1
    assert "REG-03" in codes(again)


def test_a_folder_is_looked_into_as_deep_as_was_asked(vhdx_command, built, tmp_path):
    path, _ = built("dynamic")
    (tmp_path / "notes.txt").write_text("no disk")
    (path.parent / "front lost.vhdx").write_bytes(bytes(1 << 20))
    shallow = vhdx_command("check", tmp_path, "--json")
    deep = vhdx_command("check", tmp_path, "-r", "--json")
    assert [subject["path"] for subject in shallow.json["subjects"]] == [str(tmp_path)]
    assert codes(shallow) == ["FID-11"], "a place without any disk is told, not passed over"
    assert {subject["path"] for subject in deep.json["subjects"]} == {str(path), str(path.parent / "front lost.vhdx")}
    assert "FID-01" in codes(deep)


def test_a_disk_is_found_by_what_is_in_it(vhdx_command, built):
    path, _ = built("dynamic")
    path.rename(path.with_suffix(".bin"))
    assert len(vhdx_command("check", path.parent, "--json").json["subjects"]) == 1


def test_what_cannot_be_read_is_a_finding(vhdx_command, tmp_path):
    answer = vhdx_command("check", tmp_path / "not there.vhdx", "--json")
    assert answer.code == 6
    assert codes(answer) == ["FID-11"]


def test_a_chain_is_checked_with_its_parents(vhdx_command, chain):
    leaf, _ = chain
    answer = vhdx_command("check", "--chain", "--content", leaf, "--json")
    assert answer.code == 0
    assert len(answer.json["subjects"][0]["files"]) == 3


@pytest.fixture
def looks(monkeypatch):
    """How often each file was opened, and looked at whole."""
    opened, checked = Counter(), Counter()
    open_file, check_structures = FileSource.__init__, files_of_check.check_structures

    def counting_open(source, path):
        opened[path] += 1
        open_file(source, path)

    def counting_check(structures):
        checked[structures.file.path] += 1
        return check_structures(structures)

    monkeypatch.setattr(FileSource, "__init__", counting_open)
    monkeypatch.setattr(files_of_check, "check_structures", counting_check)
    return opened, checked


def test_a_file_is_opened_and_looked_at_once_however_many_chains_lead_to_it(vhdx_command, chain, looks):
    leaf, fixture = chain
    patch(leaf.with_name(fixture.chain[-1]), HEADER, b"hurt")
    (leaf.parent / "sibling.avhdx").write_bytes(leaf.read_bytes())
    files = sorted(leaf.parent.iterdir())
    answer = vhdx_command("check", "--chain", "-r", leaf.parent, "--json")
    assert [dict(counted) for counted in looks] == [dict.fromkeys(files, 1)] * 2
    found = [(subject["path"], len(subject["findings"]), subject["files"]) for subject in answer.json["subjects"]]
    alone = [check_chain(path) for path in files]
    assert found == [(str(one.path), len(one.findings), [str(path) for path in one.files]) for one in alone]
    assert all(one.findings for one in alone)


def test_a_file_that_two_paths_lead_to_is_looked_at_once_and_told_by_both(vhdx_command, chain, looks):
    leaf, _ = chain
    patch(leaf, HEADER, b"hurt")
    twin = leaf.with_name("twin.avhdx")
    twin.hardlink_to(leaf)
    answer = vhdx_command("check", "--chain", leaf, twin, "--json")
    assert sum(count for path, count in looks[1].items() if path in {leaf, twin}) == 1
    told = [finding["path"] for subject in answer.json["subjects"] for finding in subject["findings"]
            if finding["code"] == "HDR-03"]  # fmt: skip
    assert told == [str(leaf), str(twin)]


def test_files_beyond_those_that_stay_open_are_looked_at_once_all_the_same(vhdx_command, chain, looks, monkeypatch):
    monkeypatch.setattr(files_of_check, "_MOST_OPEN", 1)
    leaf, _ = chain
    assert vhdx_command("check", "--chain", "-r", leaf.parent).code == 0
    assert set(looks[1].values()) == {1}
    assert max(looks[0].values()) > 1


def test_a_missing_parent_is_an_error_of_the_chain_alone(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    alone = tmp_path / "alone" / leaf.name
    alone.parent.mkdir()
    leaf.rename(alone)
    assert vhdx_command("check", "--no-chain", alone).code == 0
    for chain_option in ([], ["--chain"]):
        answer = vhdx_command("check", *chain_option, alone, "--json")
        assert answer.code == 1
        assert "CHN-01" in codes(answer)


def test_a_differencing_file_is_checked_with_its_parents_unless_told_not_to(vhdx_command, chain):
    leaf, fixture = chain
    patch(leaf.with_name(fixture.chain[-1]), HEADER, b"hurt")
    assert "HDR-03" in codes(vhdx_command("check", leaf, "--json"))
    assert "HDR-03" not in codes(vhdx_command("check", "--no-chain", leaf, "--json"))


@pytest.mark.parametrize("named", ["the folder", "two leaves"])
def test_what_is_wrong_with_a_base_is_listed_once_however_many_files_are_made_upon_it(vhdx_command, chain, named):
    leaf, fixture = chain
    patch(leaf.with_name(fixture.chain[-1]), HEADER, b"hurt")
    sibling = leaf.with_name("sibling.avhdx")
    sibling.write_bytes(leaf.read_bytes())
    answer = vhdx_command("check", *([leaf.parent] if named == "the folder" else [leaf, sibling]), "--json")
    found = [finding["path"] for subject in answer.json["subjects"] for finding in subject["findings"]
             if finding["code"] == "HDR-03"]  # fmt: skip
    assert found == [str(leaf.with_name(fixture.chain[-1]))]


def test_sarif_and_junit_are_written_whole_and_over_nothing(vhdx_command, damaged, tmp_path):
    for form in ("sarif", "junit"):
        target = tmp_path / f"answer.{form}"
        assert vhdx_command("check", damaged, "--format", form, "-o", target).out == ""
        assert "HDR-03" in target.read_text()
        assert vhdx_command("check", damaged, "--format", form, "-o", target).code == 5
        assert vhdx_command("check", damaged, "--format", form, "-o", target, "--force").code == 0
    assert json.loads((tmp_path / "answer.sarif").read_text())["version"] == "2.1.0"


def test_an_answer_is_never_written_over_what_was_checked(vhdx_command, damaged):
    before = damaged.read_bytes()
    assert vhdx_command("check", damaged, "-o", damaged, "--force").code == 5
    assert damaged.read_bytes() == before


def test_lines_for_people_name_code_and_next_step(vhdx_command, damaged):
    answer = vhdx_command("check", damaged)
    (line,) = [line for line in answer.out.splitlines() if "HDR-03" in line]
    assert str(damaged) in line
    assert f"`vhdx repair {damaged}`" in line
    assert answer.out.splitlines()[-1].startswith("1 subject checked: 1 warning")


_MANY = re.compile(
    r"(?<![\d.])1 (?:[a-z]+ ){0,3}?(?:entries|blocks|sessions|slots|sectors|places|pages)\b|numbers (\d+) to \1\b"
)


@pytest.mark.parametrize("name", ["log-live", "log-damaged-middle", "log-applied", "mixed-disk-sizes", "log-growing"])
@pytest.mark.parametrize("command", [["check", "--chain"], ["info"], ["repair"]])
def test_one_of_a_thing_is_counted_as_one(vhdx_command, built, command, name):
    path, _ = built(name)
    answer = vhdx_command(*command, path)
    assert [match[0] for match in _MANY.finditer(answer.out + answer.err)] == []
