"""Many small files: a scan against a library that only opens each, in seconds of the processor."""

import os
import subprocess
import sys
from statistics import median

import pytest

from benchmarks.programs import ROOT, VHDX, run
from fixtures import Brush, Identity, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.recipes.kit import child_of

DEPTH = 10
OPEN_EACH = """
import sys
from pathlib import Path
from dissect.hypervisor.disk.vhdx import VHDX
for path in sorted(Path(sys.argv[1]).rglob("*.*vhdx")): VHDX(path)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, measuring):
    """Chains of ten files, each opened with its parents by who opens it."""
    folder, brush = tmp_path_factory.mktemp("many"), Brush(tag=9)
    for number in range(100 if measuring else 2):
        place = folder / f"vm{number}"
        place.mkdir()
        spec, name = (
            ImageSpec(size=64 * MIB, identity=Identity.of(f"{number}"), blocks=brush.fulls((0, 3))),
            "base.vhdx",
        )
        for layer in range(DEPTH):
            if layer:
                spec = child_of(spec, f"{number}-{layer}", {5: brush.full(5, range(7, 19))}, path=f".\\{name}")
                name = f"layer{layer}.avhdx"
            encode(spec).write_to(place / name)
    return folder


def seconds_of(*command):
    """Seconds of the processor, of a command and of what it starts: a busy machine changes them little."""
    before = os.times()
    subprocess.run([str(word) for word in command], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_the_scan_of_a_thousand_files_takes_little_longer_than_to_open_each(pairs, measuring, require_peer, folder):
    require_peer("dissect.hypervisor")
    compare(
        pairs,
        ("scan 1,000 files in chains of 10, CPU", "dissect opens each"),
        lambda: seconds_of(*VHDX, "scan", folder, "--jobs", 1),
        lambda: seconds_of(sys.executable, "-c", OPEN_EACH, folder),
        1.2,
        5 if measuring else 1,
    )


def test_two_processes_cost_little_more_than_one(pairs, measuring, folder):
    """As long as both have a processor, the speed of two is two divided by this: 1.6 times and more."""
    compare(
        pairs,
        ("check --content of 1,000 files, two processes, CPU", "one process"),
        lambda: seconds_of(*VHDX, "check", "-r", "--content", folder, "--jobs", 2),
        lambda: seconds_of(*VHDX, "check", "-r", "--content", folder, "--jobs", 1),
        1.25,
        1,
    )


def test_two_processes_are_1_6_times_as_fast_as_one(pairs, measuring, folder):
    """By the clock: this needs two processors that nothing else has."""
    command = (*VHDX, "check", "-r", "--content", folder)
    pairs.compare(
        ("check --content of 1,000 files, two processes", "one process"),
        lambda: seconds_of(*command, "--jobs", 2),
        lambda: seconds_of(*command, "--jobs", 1),
        bar=1 / 1.6,
        rounds=3 if measuring else 1,
    )


@pytest.mark.parametrize("command", ["info", "check", "map", "scan"])
def test_a_disk_of_1_tib_with_little_in_it_is_half_a_second_and_80_mib(pairs, measuring, tmp_path, command):
    brush = Brush(tag=9)
    spec = ImageSpec(size=1 << 40, identity=Identity.of("wide"), blocks=brush.fulls((0, 3, 500_000, 900_000)))
    encode(spec).write_to(tmp_path / "wide.vhdx")
    words = (*VHDX, command, tmp_path if command == "scan" else tmp_path / "wide.vhdx")
    compare(
        pairs,
        (f"`{command}` of 1 TiB, CPU", "0.5 s"),
        lambda: seconds_of(*words),
        lambda: 0.5,
        1.0,
        5 if measuring else 1,
    )
    if measuring:
        peak = int(run(sys.executable, "-c", PEAK, *words))
        pairs.note((f"peak memory of `{command}`, 1 TiB", "80 MiB"), peak / 1024, 80, "MiB", peak / 1024 / 80, 1.0)


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def compare(pairs, names, ours, theirs, bar, rounds):
    """The ratio of what both say they took, not of how long it lasted."""
    found = [(theirs(), ours()) for _ in range(rounds)]
    pairs.benchmark.pedantic(lambda: None)
    if pairs.measuring:
        ratio = median(mine / other for other, mine in found)
        pairs.note(names, median(mine for _, mine in found), median(other for other, _ in found), "s", ratio, bar)
