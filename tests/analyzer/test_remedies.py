"""What to do next is a command that can be pasted."""

from pathlib import Path

import pytest

from analyzer.remedies import next_step
from vhdx.findings import Finding, Severity

pytestmark = pytest.mark.skipif("os.name == 'nt'", reason="names are quoted for another shell there")


def about(path, advice):
    return Finding("FID-01", Severity.ERROR, "x", path=path, advice=advice)


def test_a_command_names_the_file_that_the_finding_is_about():
    step = next_step(about(Path("/vm/my disk.vhdx"), "try `vhdx repair FILE`, FILE stays in words; `vhdx scan DIR`"))
    assert step == "try `vhdx repair '/vm/my disk.vhdx'`, FILE stays in words; `vhdx scan /vm`"


def test_several_folders_stay_for_the_reader_to_name():
    assert next_step(about(Path("/vm/a.vhdx"), "`vhdx scan DIR...`")) == "`vhdx scan DIR...`"


def test_a_hostile_name_cannot_add_a_command():
    assert next_step(about(Path("$(rm x).vhdx"), "`vhdx map FILE`")) == "`vhdx map '$(rm x).vhdx'`"


def test_without_a_file_the_words_stay_as_they_are():
    assert next_step(about(None, "`vhdx map FILE`")) == "`vhdx map FILE`"
