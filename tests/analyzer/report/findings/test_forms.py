"""What a check found, in every form."""

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from analyzer.check.result import common_folder, fingerprint
from analyzer.report.findings.documents import check_document, junit_xml, sarif_log
from analyzer.report.findings.text import summary, text_lines
from tests.support.checks import FOLDER, HOSTILE, finding, some, subject
from vhdx.findings import Severity

posix = pytest.mark.skipif(os.name == "nt", reason="names that Windows has not")

SUBSET = json.loads((Path(__file__).parent / "sarif-subset.json").read_text())
"""The part of SARIF 2.1.0 that is used here, written from the standard."""


def log_of(checked, root=FOLDER):
    log = json.loads(json.dumps(sarif_log(checked, root=root, version="1.2")))
    jsonschema.validate(log, SUBSET)
    return log["runs"][0]


def test_sarif_follows_the_parts_of_the_standard_that_it_uses():
    log_of(some())
    log_of(())


def test_sarif_validates_against_the_official_schema():
    path = os.environ.get("SARIF_SCHEMA")
    if not path:
        pytest.skip("SARIF_SCHEMA names no sarif-schema-2.1.0.json")
    schema = json.loads(Path(path).read_text())
    hostile = subject(finding(message=HOSTILE, expected=HOSTILE), path=FOLDER / "a b/ü%#?.vhdx")
    for checked in (some(), (), (hostile,)):
        jsonschema.validate(json.loads(json.dumps(sarif_log(checked, root=FOLDER, version="1.2"))), schema)


def test_sarif_has_a_rule_with_help_for_each_code_and_a_result_for_each_finding():
    run = log_of(some())
    rules = run["tool"]["driver"]["rules"]
    assert [result["ruleId"] for result in run["results"]] == ["BAT-04", "LOG-01", "CHN-01", "FID-05"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert all(rule["help"]["text"] and rule["help"]["markdown"] for rule in rules)


def test_a_sarif_result_tells_place_disk_range_expectation_and_windows_code():
    result = log_of(some())["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "one/disk.vhdx", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 1, "byteOffset": 3145728, "byteLength": 8},
    }
    facts = result["properties"]
    assert (facts["diskStart"], facts["diskLength"]) == (1 << 20, 1 << 20)
    assert (facts["expected"], facts["found"]) == ("below 4194304", "8388608")
    assert result["level"] == "error"


@posix
def test_sarif_quotes_names_and_those_outside_the_root_are_absolute():
    odd = Path(os.fsdecode(b"/srv/vms/a b/\xff#%?:.vhdx"))
    outside = Path("/mnt/base.vhdx")
    run = log_of([subject(finding(path=odd), finding(path=outside), path=odd, files=(odd, outside))])
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]]
    assert uris == ["a%20b/%FF%23%25%3F%3A.vhdx", "file:///mnt/base.vhdx"]


def test_sarif_numbers_findings_of_one_place():
    run = log_of([subject(finding(message="one"), finding(message="two"))])
    first, second = (result["partialFingerprints"] for result in run["results"])
    assert first["vhdx/v1"] == second["vhdx/v1"]
    assert first["primaryLocationLineHash"] != second["primaryLocationLineHash"]


def test_a_fingerprint_stays_when_the_file_moves_to_another_folder_and_when_words_change():
    here, there = Path("/a/disk.vhdx"), Path("/b/c/disk.vhdx")
    assert fingerprint(finding(path=here), here) == fingerprint(finding(path=there, message="other words"), there)
    assert fingerprint(finding(path=here), here) != fingerprint(finding(path=here, offset=0), here)
    assert fingerprint(finding(path=here), here) != fingerprint(finding(path=Path("/a/other.vhdx")), here)


def test_a_sound_subject_is_a_junit_test_that_passes():
    suites = ET.fromstring(junit_xml(some(), fail_on=Severity.ERROR))
    sound = suites.findall("testsuite")[2]
    assert [case.get("name") for case in sound] == ["no findings"]
    assert sound.get("failures") == "0"


def test_junit_fails_the_groups_that_have_findings_as_bad_as_asked_for():
    suites = ET.fromstring(junit_xml(some(), fail_on=Severity.ERROR))
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["BAT block table", "CHN chain"]
    assert (suites.get("tests"), suites.get("failures")) == ("5", "2")
    strict = ET.fromstring(junit_xml(some(), fail_on=Severity.NOTE))
    assert strict.get("failures") == "4"
    assert ET.fromstring(junit_xml(some(), fail_on=None)).get("failures") == "0"


def test_junit_holds_no_character_that_xml_or_a_reader_stumbles_on():
    text = junit_xml([subject(finding(message=HOSTILE), path=FOLDER / "<&\x01>.vhdx")], fail_on=Severity.ERROR)
    ET.fromstring(text.encode())
    assert "<script" not in text
    assert not re.search("[\x00-\x08\x0b\x1b\u202e\ud800]", text)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_text_keeps_within_the_width_but_for_words_that_must_be_copied_whole(width):
    for line in text_lines(some(), width=width):
        assert len(line) <= width or len(line.split()[-1]) > width // 2


def test_text_tells_severity_code_sentence_place_and_next_step_at_40_columns():
    text = " ".join("\n".join(text_lines(some(), width=40)).split())
    for part in ("error BAT-04: the block lies past the end", "file byte 3145728, 8 bytes", "disk byte 1048576, 1 MiB",
                 "expected: below 4194304; found: 8388608", "next: ", f"{Path('two/sound.vhdx')}: sound"):  # fmt: skip
        assert part in text
    assert text.endswith("3 subjects checked: 2 errors, 1 warning, 1 note")


def test_text_in_a_pipe_has_one_line_for_each_finding_and_one_for_the_sum():
    lines = list(text_lines([subject(finding(message=HOSTILE))], width=None, known=2))
    assert len(lines) == 2
    assert lines[0].startswith(f"{FOLDER / 'one' / 'disk.vhdx'}: error BAT-04: ")
    assert "\x1b" not in lines[0]
    assert lines[1] == "1 subject checked: 1 error; 2 findings known from the baseline"
    assert summary(()) == "0 subjects checked: no findings"


def test_the_document_has_all_of_a_finding():
    document = check_document(some(), known=1)
    first = document["subjects"][0]["findings"][0]
    assert first["relative_path"] == "one/disk.vhdx"
    assert (first["disk_start"], first["expected"]) == (1 << 20, "below 4194304")
    assert document["counts"] == {"error": 2, "warning": 1, "note": 1}
    assert document["known"] == 1


def test_the_common_folder_of_nothing_and_of_one_file():
    assert common_folder(()) == Path()
    assert common_folder([subject()]) == Path(os.path.abspath(FOLDER / "one"))  # noqa: PTH100 - no link is resolved
