"""A check's answer in each form that the command line offers."""

import json
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from analyzer.check.result import Checked
from cli.commands.check import Form, rendered
from tests.support.checks import HOSTILE, finding, some
from tests.support.command_line import SCHEMA
from vhdx.findings import Severity


@pytest.mark.slow
def test_json_follows_the_published_schema():
    for checked in (some(), (), (some()[0],)):
        jsonschema.validate(json.loads(rendered(Form.JSON, checked, fail_on=None, known=3)), SCHEMA)


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
