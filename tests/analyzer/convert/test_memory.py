"""Memory stays bounded whatever the size of the disk."""

import subprocess
import sys

import pytest

from fixtures import RECIPES, write_files
from tests.support.files import ROOT

pytest.importorskip("resource", reason="Windows does not say how much memory a process had")
pytestmark = pytest.mark.slow

LIMIT = 300 << 20

SCRIPT = """
import resource, sys
from pathlib import Path
import vhdx
from analyzer.convert.model import Options, OutputFormat
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.merge_upper import plan_merge_upper, run_merge_upper

leaf, target, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with vhdx.open_chain(leaf) as chain:
    if what == "scan":
        assert sum(int(table.length.sum()) for table in chain.windows()) == chain.size
        chain.read(0, 1 << 20), chain.read(chain.size - 4096, 4096)
    elif what == "merge":
        run_merge_upper(plan_merge_upper(chain, chain.base.path, target, Options()), chain)
    else:
        run_conversion(plan_conversion(chain, target, OutputFormat(what), Options()), chain)
status = Path("/proc/self/status")
if status.exists():  # ru_maxrss begins, on Linux, with what the process that started this one had
    print(1024 * int(status.read_text().split("VmHWM:")[1].split()[0]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def peak_of(folder, name, what):
    fixture = RECIPES[name].build()
    write_files(fixture, folder)
    arguments = [str(folder / fixture.leaf), str(folder / "out"), what]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout), fixture, folder / "out"


@pytest.mark.parametrize("name", ["huge-dynamic", "huge-small-blocks", "huge-differencing"])
@pytest.mark.parametrize("what", ["scan", "vhdx", "qcow2"])
def test_a_disk_of_64_tib_takes_less_than_300_mib(tmp_path, name, what):
    peak, _, _ = peak_of(tmp_path, name, what)
    assert peak < LIMIT


def test_merging_a_chain_of_64_tib_takes_less_than_300_mib(tmp_path):
    peak, _, _ = peak_of(tmp_path, "huge-differencing", "merge")
    assert peak < LIMIT


def test_a_chain_of_256_layers_takes_less_than_300_mib(tmp_path):
    peak, _, _ = peak_of(tmp_path, "chain-256", "vhdx")
    assert peak < LIMIT


def test_many_single_sectors_take_less_than_300_mib(tmp_path):
    peak, _, _ = peak_of(tmp_path, "bitmap-dense", "raw")
    assert peak < LIMIT
