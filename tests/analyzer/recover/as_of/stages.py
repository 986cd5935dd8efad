"""A disk that is written to step by step, each step an entry of its log, and what it was after each: the model."""

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from analyzer.recover.job import RecoverOptions, plan_recovery
from fixtures import Block, BlockState, Identity, ImageSpec, LogSpec, PageWrite, encode, stamp
from fixtures.identity import guid
from fixtures.placement import Placement
from fixtures.spec import Layout
from tests.support.sources import PatchedSource
from vhdx.parents import Search
from vhdx.reader import Reader

MIB, PAGE = 1 << 20, 4096
FIRST_PLACE, PLACES = 8, 6
"""MiB of the file where blocks may stand."""
FILE_SIZE = (FIRST_PLACE + PLACES) * MIB
FIRST = 41
PATH = Path("/nowhere/disk.vhdx")


@dataclass
class Story:
    """A file with its stages: `tables` are {block: place in MiB} after each entry, `places` what the file holds."""

    spec: ImageSpec
    data: bytes
    tables: list
    pages: list
    """The pages of the block table that each entry wrote."""
    places: dict

    def expected(self, stage, block):
        """Bytes of a block as of an entry; None where its place was given to another one since."""
        place = self.tables[stage].get(block)
        if place is None:
            return bytes(MIB)
        later = (other for table in self.tables[stage + 1 :] for other, at in table.items() if at == place)
        return None if any(other != block for other in later) else self.places[place]

    def reached(self, stage, block):
        """Whether the log tells what the block's page of the table was."""
        page = block // 512
        return any(page in pages for pages in self.pages[: stage + 1]) or not any(
            page in pages for pages in self.pages[stage + 1 :]
        )


def story(seed, blocks, count=8):
    """A disk of the MiB that `blocks` need, in which they come, go and move, `count` entries long."""
    chance = random.Random(seed)
    tables, places, table = [{}], {}, {}
    for number in range(count):
        table = _next(table, blocks, chance)
        tables.append(table)
        places |= {place: stamp(block * MIB, MIB, 1 + number) for block, place in table.items()}
    spec = _spec(blocks, table)
    bat = Placement.of(spec).bat
    entries, pages = [], []
    for before, after in pairwise(tables):
        changed = {block // 512 for block in before.keys() | after.keys() if before.get(block) != after.get(block)}
        pages.append(changed)
        entries.append(tuple(PageWrite(bat + page * PAGE, _page(after, page)) for page in sorted(changed)))
    log = LogSpec(guid=guid("story", str(seed)), entries=tuple(entries), first_sequence=FIRST)
    data = bytearray(encode(_spec(blocks, table, old_logs=(log,))).read(0, FILE_SIZE).ljust(FILE_SIZE, b"\0"))
    for place, content in places.items():
        data[place * MIB : (place + 1) * MIB] = content
    held = {place: bytes(data[place * MIB : (place + 1) * MIB]) for place in range(FIRST_PLACE, FIRST_PLACE + PLACES)}
    return Story(spec, bytes(data), tables[1:], pages, held)


def _next(table, blocks, chance):
    """Something else than `table`: a block that comes, goes, or moves to a place that is free."""
    while True:
        block = chance.choice(blocks)
        rest = {other: place for other, place in table.items() if other != block}
        free = [place for place in range(FIRST_PLACE, FIRST_PLACE + PLACES) if place not in rest.values()]
        after = rest if chance.random() < 0.3 or not free else rest | {block: chance.choice(free)}
        if after != table:
            return after


def _spec(blocks, table, **more):
    held = {block: Block(state=BlockState.FULLY_PRESENT) for block in table}
    return ImageSpec(
        size=(max(blocks) + 1) * MIB,
        identity=Identity.of("story"),
        blocks=held,
        layout=Layout(block_mib=table),
        **more,
    )


def _page(table, page):
    words = [0] * 512
    for block, place in table.items():
        if block // 512 == page:
            words[block % 512] = place << 20 | 6
    return b"".join(word.to_bytes(8, "little") for word in words)


def recovered(files, view, **request):
    """A plan of the files {path: bytes}, the first one uppermost, with its reader; a context."""
    sources = {path: PatchedSource(data, path=path) for path, data in files.items()}
    return plan_recovery(
        RecoverOptions(inputs=tuple(files), search=Search(), view=view, **request), sources.__getitem__
    )


def read(plan, start, length):
    """Bytes of the disk as the output has them."""
    return Reader(plan.filled).read(start, length)


def rows_at(plan, start, length):
    """What is told of a range: {(status, basis)} by their words."""
    return {
        (row.status.value, row.basis.value) for row in plan.rows() if row.start < start + length and row.end > start
    }
