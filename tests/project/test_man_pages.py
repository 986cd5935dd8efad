"""The man pages are those of the commands as they are, and programs that show them warn of nothing."""

import shutil
import subprocess

import pytest

from tests.project.man_pages import FOLDER, pages


def test_the_man_pages_are_current():
    made = dict(pages())
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.1")} == made, "run `make docs`"


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_warns_of_nothing():
    shown = subprocess.run(["groff", "-man", "-ww", "-z", *sorted(FOLDER.glob("*.1"))], capture_output=True, check=True)
    assert shown.stderr == b""


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_a_page_shows_hyphens_that_can_be_copied_and_backslashes():
    command = ["groff", "-man", "-Tascii", "-P-cbou", FOLDER / "vhdx-set-parent.1"]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert "--windows-path" in shown
    assert r"D:\VMs\base.vhdx" in shown
