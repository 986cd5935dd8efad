"""Random disasters, and a table of what came of them: `python -m tests.analyzer.recover.disasters.soak`.

Ends with 1 where anything that is said to be known is wrong, and the files held evidence of it: after what is
structural anywhere, after the rest where a witness has something to say (evidence.py). `--page` writes the table, with
how many trials it is of, into a page.
"""

import argparse
import functools
import logging
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from tests.analyzer.recover.disasters.chains import chain, makeable, states_of
from tests.analyzer.recover.disasters.damages import OF_TABLES, OLD, SILENT, STRUCTURAL, healthy
from tests.analyzer.recover.disasters.evidence import free_in, holes_told, told_blocks, told_places
from tests.analyzer.recover.disasters.trial import Outcome, outcome
from tests.analyzer.recover.matrix.__main__ import into_page
from vhdx.ranges import union

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
_GROUP = 50
"""Trials that share two disks, which are made anew for each group: making them takes as long as some trials."""


@dataclass(frozen=True)
class Trial:
    """One disaster: what it was, what came of it, and the bytes that are known and wrong although there is evidence."""

    name: str
    kind: str
    layers: int
    result: Outcome
    wrong: int
    unnoticed: int
    """Bytes that are known and wrong where nothing tells it."""


@functools.lru_cache(maxsize=1)
def _states(group, kinds):
    chance = random.Random(f"group {group}")
    kind, scheme = chance.choice(kinds), chance.choice(("none", "mbr", "gpt"))
    return kind, states_of(kind, scheme, (2 * group, 2 * group + 1))


def trial(seed, kinds):
    """The disaster of a seed; one in eight is none, and nothing may be doubted there."""
    chance = random.Random(seed)
    kind, states = _states(seed // _GROUP, tuple(kinds))
    made = chain(kind, chance, states=states)
    what = healthy if chance.random() < 1 / 8 else chance.choice((*STRUCTURAL, *SILENT))
    files = what(made) if what is healthy else what(made, chance)
    result = outcome(files, made.truth)
    if what is healthy:
        doubted = result.data - result.right["known"]
        return Trial(what.__name__, made.kind, len(made.layers), result, result.wrong.size + doubted, 0)
    proven = wrong_in(result, made, what, files)
    return Trial(what.__name__, made.kind, len(made.layers), result, proven, result.wrong.size - proven)


def wrong_in(result, made, what, files):
    """Bytes that are known and wrong although the files hold evidence of what happened to them."""
    if what in OF_TABLES and any(layer.made.cleared for layer in made.layers):
        return 0  # a table that shows what a guest gave back explains room without an owner
    if not result.wrong or what in OLD:
        return 0
    if what not in SILENT:
        return (result.wrong - free_in(made.truth)).size
    return (result.wrong & told_by(made, files)).size


def told_by(made, files):
    """The ranges of the disk in which something tells what was done to a file."""
    altered = [(layer.made, files[layer.name]) for layer in made.layers if layer.name in files]
    return union(
        holes_told(its, file.holes) if file.holes else told_places(its, file.patches) | told_blocks(its, file.moved)
        for its, file in altered
    )


def table(trials):
    """Rows of Markdown: for each disaster how many, what came back, and what was wrong."""
    yield "| disaster | trials | refused | data known | likely | likely and wrong | known and wrong | of no evidence |"
    yield "|---|---|---|---|---|---|---|---|"
    names = dict.fromkeys(what.__name__ for what in (healthy, *STRUCTURAL, *SILENT))
    for name in names:
        some = [one for one in trials if one.name == name]
        sums = Counter()
        for one in some:
            sums.update(data=one.result.data, known=one.result.right["known"], likely=one.result.right["likely"])
            sums.update(
                said=one.result.said["likely"],
                bad=one.result.wrong_by["likely"],
                wrong=one.wrong,
                unnoticed=one.unnoticed,
            )
        of = {"known": "data", "likely": "data", "bad": "said"}
        percent = [f"{100 * sums[key] / sums[whole]:.1f} %" if sums[whole] else "-" for key, whole in of.items()]
        refused = sum(bool(one.result.refusal) for one in some)
        row = (name.replace("_", " "), len(some), refused, *percent, sums["wrong"], f"{sums['unnoticed'] >> 10} KiB")
        yield f"| {' | '.join(map(str, row))} |"


def pieces(count, seed):
    """Trials by the disks that they share, as ranges of seeds."""
    edges = [seed, *range((seed // _GROUP + 1) * _GROUP, seed + count, _GROUP), seed + count]
    return [range(first, last) for first, last in pairwise(edges)]


def of_piece(seeds, kinds, until):
    """The trials of some seeds, and what is to be said of them; none that would begin too late."""
    logging.disable(logging.CRITICAL)
    found, said = [], []
    for seed in seeds:
        if time.time() > until:
            break
        one = trial(seed, kinds)
        found.append(one)
        if one.wrong:
            said.append(f"seed {seed}: {one.name} of {one.kind}, {one.layers} layers: {one.wrong} bytes")
    return found, said


def run(asked):
    """The trials that were made in time, in the order of their seeds."""
    kinds, trials, until = makeable(), [], time.time() + asked.seconds
    with ProcessPoolExecutor(asked.jobs) as pool:
        waiting = [pool.submit(of_piece, seeds, kinds, until) for seeds in pieces(asked.trials, asked.seed)]
        for one in waiting:
            found, said = one.result()
            trials += found
            sys.stderr.write("".join(f"{line}\n" for line in (*said, f"{len(trials)} trials")))
    return trials


def asked_for():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seconds", type=int, default=10**6, help="after which no new trial begins")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--page", type=Path, help="into which the table is written, between its marks")
    return parser.parse_args()


def main():
    asked = asked_for()
    trials = run(asked)
    count = f"{len(trials):,} trials from seed {asked.seed} on, {date.today().isoformat()}:"
    text = "\n".join([count, "", *table(trials), ""])
    if asked.page:
        into_page(asked.page, text, BEGIN, END)
    else:
        sys.stdout.write(text)
    return int(any(one.wrong for one in trials))


if __name__ == "__main__":
    sys.exit(main())
