"""A large, nearly empty disk is backed up and restored for what it holds, in bounded memory."""

import subprocess
import sys

import pytest

import vhdx
from fixtures import RECIPES, write_files
from tests.support.files import ROOT

pytest.importorskip("resource", reason="Windows does not say how much memory a process had")
pytestmark = pytest.mark.slow

LIMIT = 500 << 20
SCRIPT = """
import resource, sys
from pathlib import Path
import vhdx
from analyzer.backup.plan import Which
from analyzer.backup.storage.local import LocalPlace
from analyzer.backup.restore import PointDisk, request_for
from analyzer.convert.model import Options, OutputFormat
from analyzer.convert.convert import plan_output, run_conversion
from tests.analyzer.backup.helpers import back_up, new_repository

leaf, folder = Path(sys.argv[1]), Path(sys.argv[2])
repository = new_repository(LocalPlace(folder / "kept"), None)
with vhdx.open_chain(leaf) as chain:
    for manifest in back_up(repository, chain, which=Which.CHECKPOINTS):
        assert manifest.image_sha256 is None
    manifest = back_up(repository, chain)[-1]
    assert manifest.effort.read_bytes == 0
disk = PointDisk(repository, manifest.name)
request = request_for(disk.manifest, folder / "out.vhdx", OutputFormat.VHDX, Options())
run_conversion(plan_output(disk, request), disk)
status = Path("/proc/self/status")
if status.exists():
    print(1024 * int(status.read_text().split("VmHWM:")[1].split()[0]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def test_checkpoints_of_64_tib_take_less_than_500_mib_and_come_back(tmp_path):
    fixture = RECIPES["huge-differencing"].build()
    write_files(fixture, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / fixture.leaf, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < LIMIT
    model = fixture.models[fixture.leaf]
    with vhdx.open_chain(tmp_path / "out.vhdx") as restored:
        assert restored.size == model.size
        for start in (0, model.size // 2 - (1 << 20), model.size // 2, model.size - (3 << 20)):
            assert restored.read(start, 3 << 20) == model.read(start, 3 << 20)
