"""`python -m tests.analyzer.recover.disasters [FILE]`: the same disasters for each file system, as a table in FILE."""

import logging
import random
import sys
from functools import partial
from pathlib import Path

from tests.analyzer.recover.disasters import damages
from tests.analyzer.recover.disasters.chains import chain, makeable
from tests.analyzer.recover.disasters.soak import wrong_in
from tests.analyzer.recover.disasters.trial import outcome
from tests.analyzer.recover.matrix.__main__ import into_page

BEGIN, END = "<!-- disasters: begin -->", "<!-- disasters: end -->"
COLUMNS = ("ext4", "ext2", "ntfs", "fat32", "exfat", "xfs", "btrfs", "lvm", "luks")
TRIALS = 1
MIB = 1 << 20
_ENCRYPTED = damages.encrypted
ROWS = {
    "nothing": (1, lambda made, chance: damages.healthy(made), None),
    **{f"table older by {n}": (1, partial(damages.older, count=n), None) for n in (1, 4, 16)},
    "single entries": (1, damages.single_entry, None),
    **{f"1 MiB of every {n} encrypted": (1, partial(_ENCRYPTED, period=n), _ENCRYPTED) for n in (4, 8, 16, 32)},
    "two blocks swapped": (1, damages.swapped, damages.swapped),
    "halves of two copies": (1, damages.halves, damages.halves),
    "holes of the host": (1, damages.holes, damages.holes),
    "zeros and noise, 64 KiB to 1 MiB": (1, damages.overwritten, damages.overwritten),
    "sectors that ddrescue lacks": (1, damages.unread, None),
    "front of 4 MiB": (1, partial(damages.front, length=4 * MIB), None),
    "chain: front of the base": (3, partial(damages.front, name="base.vhdx", length=4 * MIB), None),
    "chain: front of the leaf": (3, partial(damages.front, name="layer2.avhdx", length=4 * MIB), None),
    "chain: all fronts": (3, damages.all_fronts, None),
    "chain: a layer below gone": (3, damages.missing, None),
}  # fmt: skip


def cell(name, kind):
    """(text, bytes likely and wrong, bytes likely, bytes known and wrong, those that nothing tells)."""
    length, what, silent = ROWS[name]
    known = likely = said = data = bad = wrong = unnoticed = 0
    for number in range(TRIALS):
        chance = random.Random(f"{name} {kind} {number}")
        made = chain(kind, chance, length, MIB)
        files = what(made, chance)
        result = outcome(files, made.truth)
        proven = wrong_in(result, made, silent, files)
        known, likely = known + result.right["known"], likely + result.right["likely"]
        data, said, bad = data + result.data, said + result.said["likely"], bad + result.wrong_by["likely"]
        wrong, unnoticed = wrong + proven, unnoticed + result.wrong.size - proven
    return f"{100 * (known + likely) // max(1, data)}{'~' if likely else ''}", bad, said, wrong, unnoticed


def rows(kinds):
    """The table, and whether anything known is wrong against evidence."""
    yield f"| disaster | {' | '.join(kinds)} | likely and wrong | known and wrong | of no evidence |"
    yield "|---|" + "---|" * (len(kinds) + 3)
    for name in ROWS:
        found = [cell(name, kind) for kind in kinds]
        bad, likely, wrong, unnoticed = (sum(one[index] for one in found) for index in (1, 2, 3, 4))
        share = f"{100 * bad / likely:.2f} %" if likely else "-"
        texts = " | ".join(one[0] for one in found)
        yield f"| {name} | {texts} | {share} | {wrong} | {f'{unnoticed >> 10} KiB' if unnoticed else '-'} |"
        sys.stderr.write(f"{name}: {wrong} wrong\n")


def main():
    logging.disable(logging.CRITICAL)
    text = "\n".join(rows(makeable(COLUMNS))) + "\n"
    if len(sys.argv) > 1:
        into_page(Path(sys.argv[1]), text, BEGIN, END)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
