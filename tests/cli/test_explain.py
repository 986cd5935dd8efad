"""`vhdx explain`, and the page that is made from the same words."""

import pytest

from analyzer.examine.explain import findings_page
from tests.support.files import ROOT
from vhdx.catalogue import rules, windows_codes


def test_the_page_of_findings_is_the_one_that_the_catalogue_gives():
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert page == findings_page(), "run `make docs`"


def test_every_rule_and_every_windows_code_is_explained(vhdx_command):
    answer = vhdx_command("explain", *rules(), *windows_codes(), "--json").json["codes"]
    assert [entry["code"] for entry in answer] == [*rules(), *windows_codes()]


@pytest.mark.parametrize(
    "text", ["0xC03A000E", "0xc03a000e", "-1069940722", "3225026574", "ERROR_VHD_CHILD_PARENT_ID_MISMATCH"]
)
def test_a_windows_code_may_be_written_in_every_way_that_windows_writes_it(vhdx_command, text):
    assert vhdx_command("explain", "--", text).out.startswith("0xC03A000E")


@pytest.mark.parametrize("text", ["BAT-04", "bat-4", "BAT04"])
def test_a_finding_code_may_be_written_carelessly(vhdx_command, text):
    assert vhdx_command("explain", text).out.startswith("BAT-04  Block past the end of the file")


@pytest.mark.parametrize(("text", "near"), [("BAT-99", "BAT-01 to BAT-23"), ("nonsense", "FID-01 is one")])
def test_an_unknown_code_is_one_sentence_and_wrong_usage(vhdx_command, text, near):
    answer = vhdx_command("explain", text)
    assert answer.code == 2
    assert near in answer.err
    assert len(answer.err.splitlines()) == 1


def test_without_a_code_all_are_listed_one_a_line(vhdx_command):
    lines = vhdx_command("explain").out.splitlines()
    assert len(lines) == len(rules()) + len(windows_codes())


@pytest.mark.parametrize("code", ["FID-01", "CHN-01", "CHN-10"])
def test_what_a_recovery_can_do_about_a_finding_is_said(vhdx_command, code):
    assert "vhdx recover" in vhdx_command("explain", code).out
