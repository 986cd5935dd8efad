"""The wheel and the sdist, built here and tried in an environment that has nothing else."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from tests.support.files import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.peers]


def run(*command, **options):
    """What a command prints; it must be content."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env=environment, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of a copy of the tree, and the wheel that is built from nothing but that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run("git", "clone", "-q", ROOT, folder / "tree")
    backend = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    sdist = folder / run(sys.executable, "-c", backend, "build_sdist", folder, cwd=folder / "tree").splitlines()[-1]
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    wheel = folder / run(sys.executable, "-c", backend, "build_wheel", folder, cwd=source).splitlines()[-1]
    return sdist, wheel


@pytest.fixture(scope="module")
def empty(tmp_path_factory, built):
    """An environment with the wheel and what that asks for."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--constraint", ROOT / "constraints.txt", built[1])
    return folder


@pytest.mark.skipif(os.name == "nt", reason="folders of an environment are called otherwise")
def test_the_wheel_works_alone(empty, tmp_path):
    program = empty / "bin" / "vhdx"
    assert run(program, "--version", cwd=tmp_path).startswith("vhdx ")
    run(program, "fixtures", "write", "chain-3", tmp_path)
    leaf = tmp_path / "chain-3" / "layer2.avhdx"
    run(program, "merge", leaf, tmp_path / "out.vhdx", cwd=tmp_path)
    assert run(program, "hash", leaf).split()[0] == run(program, "hash", tmp_path / "out.vhdx").split()[0]
    assert "HDR-01" in run(program, "explain", "HDR-01")
    run(program, "report", leaf, "-o", tmp_path / "page.html")
    assert (empty / "share/man/man1/vhdx.1").is_file()


@pytest.mark.skipif(os.name == "nt", reason="folders of an environment are called otherwise")
def test_a_part_that_is_missing_is_named(empty, tmp_path):
    program = empty / "bin" / "vhdx"
    run(program, "fixtures", "write", "chain-3", tmp_path)
    leaf = tmp_path / "chain-3" / "layer2.avhdx"
    done = subprocess.run([program, "files", leaf], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "filesystems" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_holds_all_data_and_nothing_else(built):
    names = zipfile.ZipFile(built[1]).namelist()
    tracked = run("git", "ls-files", "vhdx", "analyzer", "cli", "fixtures", cwd=ROOT).split()
    assert set(tracked) <= set(names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"vhdx", "analyzer", "cli", "fixtures"}
