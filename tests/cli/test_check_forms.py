"""A check's answer in each form that the command line offers."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

from analyzer.check.result import Checked
from cli.commands.check import Form, rendered
from tests.support.checks import HOSTILE, finding, some
from tests.support.command_line import require_valid
from vhdx.findings import Severity


@pytest.mark.slow
def test_json_follows_the_published_schema():
    for checked in (some(), (), (some()[0],)):
        require_valid(json.loads(rendered(Form.JSON, checked, fail_on=None, known=3)))


@pytest.mark.parametrize("form", [Form.TEXT, Form.JSON, Form.SARIF, Form.JUNIT])
def test_every_form_names_every_code_and_can_be_written_as_utf_8(form):
    hostile = Checked(some()[0].path, (finding(message=HOSTILE, expected=HOSTILE, found=HOSTILE),), ())
    answer = rendered(form, (*some(), hostile), fail_on=Severity.ERROR, width=80)
    answer.encode()
    assert "\x1b" not in answer
    assert "\u202e" not in answer
    for code in ("BAT-04", "LOG-01", "CHN-01", "FID-05"):
        assert code in answer


def test_junit_and_json_are_whole_documents():
    ET.fromstring(rendered(Form.JUNIT, some(), fail_on=Severity.ERROR))
    assert json.loads(rendered(Form.SARIF, some(), fail_on=None))["version"] == "2.1.0"


def test_a_page_of_several_subjects_has_their_findings_and_structures_and_no_map(built):
    good, _ = built("demo")
    bad, _ = built("headers-bad")
    told = finding("HDR-03", Severity.ERROR, HOSTILE, path=bad)
    page = rendered(Form.HTML, (Checked(good, (), (good,)), Checked(bad, (told,), (bad,))), fail_on=None)
    assert "HDR-03" in page
    assert "<canvas" not in page
    assert "<script>alert" not in page
    assert page.count("<details") == 2


def test_findings_are_chosen_by_severity_and_by_the_beginnings_of_codes(vhdx_command, damaged):
    leaf = damaged("older-header-lost-by-the-host")

    def codes(*words):
        answer = vhdx_command("check", leaf, "--json", *words)
        return {finding["code"] for subject in answer.json["subjects"] for finding in subject["findings"]}

    everything = codes()
    assert {"HDR-03", "FID-05"} <= everything
    assert "HDR-03" in codes("--min-severity", "warning")
    assert "FID-05" not in codes("--min-severity", "warning")
    assert codes("--select", "hdr") == {code for code in everything if code.startswith("HDR")}
    assert codes("--select", "HDR-03", "--select", "FID-05") == {"HDR-03", "FID-05"}
    assert not {code for code in codes("--ignore", "FID") if code.startswith("FID")}
    assert vhdx_command("check", leaf, "--select", "XYZ").code == 2


def test_sarif_has_notes_only_where_they_are_asked_for(vhdx_command, damaged):
    leaf = damaged("older-header-lost-by-the-host")

    def levels(*words):
        log = json.loads(vhdx_command("check", leaf, "--format", "sarif", *words).out)
        return {result["level"] for result in log["runs"][0]["results"]}

    assert levels() == {"warning"}
    assert levels("--min-severity", "note") == levels("--fail-on", "note") == {"warning", "note"}


def test_findings_are_annotations_of_a_workflow_of_github(vhdx_command, damaged, monkeypatch):
    leaf = damaged("older-header-lost-by-the-host")
    named = leaf.rename(leaf.with_name("a, b%: c.vhdx"))
    monkeypatch.chdir(leaf.parent)
    lines = vhdx_command("check", named.name, "--output-format", "github").out.splitlines()
    assert all(
        re.match(r"::(warning|notice) file=a%2C b%25%3A c\.vhdx,title=[A-Z]{3}-\d\d::\S", line) for line in lines
    )
    assert any(line.startswith("::warning ") and "HDR-03" in line for line in lines)


def test_what_to_do_continues_the_sentence_in_small_letters(vhdx_command, tmp_path):
    assert "directory; check the path and its permissions" in vhdx_command("check", tmp_path / "gone.vhdx").out
