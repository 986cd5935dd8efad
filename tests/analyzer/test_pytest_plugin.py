"""The plugin for pytest, as a project that has installed vhdx uses it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.pytest_plugin import Reach, assert_sound, require_sound
from tests.support.checks import finding, some, subject
from tests.support.files import ROOT
from vhdx.findings import Severity

TESTS = """
import pytest
import fixtures
from vhdx import open_chain

def test_a_recipe_is_there(vhdx_chain):
    chain = vhdx_chain("chain-3")
    assert chain.leaf == chain.files[0] and len(chain.files) == 3
    with open_chain(chain.leaf) as disk:
        assert disk.read(0, 4096) == chain.models[chain.leaf].read(0, 4096)

def test_each_call_has_its_own_folder(vhdx_chain):
    assert vhdx_chain().leaf.parent != vhdx_chain().leaf.parent

def test_a_chain_of_my_own(vhdx_chain):
    chain = vhdx_chain({"mine.vhdx": fixtures.ImageSpec(size=8 << 20)})
    assert [path.name for path in chain.files] == ["mine.vhdx"]

def test_no_such_recipe(vhdx_chain):
    with pytest.raises(pytest.fail.Exception, match="no recipe 'chian-3'; did you mean 'chain-3'"):
        vhdx_chain("chian-3")
"""


def run_pytest(folder, *options):
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "analyzer.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, str(folder)], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_its_fixture_writes_chains(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.slow
def test_a_failure_shows_the_test_alone_and_none_of_the_plugins_frames(tmp_path):
    body = "from analyzer.pytest_plugin import assert_sound\n\n"
    body += "def test_x(tmp_path):\n    assert_sound(tmp_path / 'gone.vhdx')\n"
    (tmp_path / "test_mine.py").write_text(f"{body}\ndef test_y(vhdx_chain):\n    vhdx_chain('nonsense')\n")
    done = run_pytest(tmp_path)
    assert "2 failed" in done.stdout
    assert "is not sound, 1 finding" in done.stdout
    assert "there is no recipe 'nonsense'" in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_loading_it_loads_nothing_heavy():
    code = "import sys, analyzer.pytest_plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "vhdx", "fixtures", "click"} & set(done.stdout.split())


def test_pyproject_names_it_to_pytest():
    assert 'vhdx = "analyzer.pytest_plugin"' in (ROOT / "pyproject.toml").read_text()


def test_findings_that_are_bad_enough_are_listed():
    with pytest.raises(AssertionError) as caught:
        require_sound(some()[0])
    text = str(caught.value)
    assert "is not sound, 2 findings" in text
    assert "BAT-04" in text
    assert "LOG-01" not in text
    with pytest.raises(AssertionError, match="LOG-01"):
        require_sound(some()[0], fail_on=Severity.WARNING)


def test_milder_findings_pass():
    require_sound(subject(finding("LOG-01", Severity.WARNING)))
    require_sound(replace(some()[1]))


def test_a_sound_chain_passes(recipe):
    _, leaf = recipe("chain-3")
    assert_sound(leaf)
    assert_sound(leaf, chain=Reach.FILE)


def test_a_damaged_file_fails_with_its_finding(recipe):
    _, leaf = recipe("headers-bad")
    with pytest.raises(AssertionError, match=r"HDR-\d\d"):
        assert_sound(Path(leaf), chain=Reach.FILE)
