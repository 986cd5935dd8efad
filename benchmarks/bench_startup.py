"""What a command costs before it does anything, against the least that it has to import."""

import sys

from benchmarks.chain import SMALL, make_chain
from benchmarks.programs import VHDX, run

ROUNDS = 15


def test_help_starts_within_two_and_a_half_imports_of_click(pairs):
    pairs.compare(
        ("vhdx --help", "import click"),
        lambda: run(*VHDX, "--help"),
        lambda: run(sys.executable, "-c", "import click"),
        bar=2.5,
        rounds=ROUNDS,
    )


def test_info_of_a_small_file_starts_within_1_7_times_its_imports(pairs, disk_folder):
    base = make_chain(SMALL, disk_folder).base
    pairs.compare(
        ("vhdx info of a small file", "import click, numpy, construct"),
        lambda: run(*VHDX, "info", base),
        lambda: run(sys.executable, "-c", "import click, numpy, construct"),
        bar=1.7,
        rounds=ROUNDS,
    )
