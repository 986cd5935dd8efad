"""Entries that changed places: a block that holds what another one must, while that one holds something else.

A table may be whole, with every block owned, and two of its entries may have changed places all the same. Only what is
in the blocks tells. Both are taken as blocks without an entry then, and put where their content shows that they belong.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from analyzer.recover.rebuild.placement import place_blocks, put_block
from analyzer.recover.rebuild.signatures import Sign, gpt_signs, mbr_signs, sign_fits
from analyzer.recover.rebuild.signatures_btrfs import node_signs
from analyzer.recover.rebuild.signatures_ext import group_signs, superblock_signs
from analyzer.recover.rebuild.signatures_headers import header_signs
from analyzer.recover.rebuild.signatures_ntfs import boot_signs, record_signs
from analyzer.recover.rebuild.tails import Tails
from analyzer.recover.rebuild.votes import Votes
from analyzer.recover.rebuild.workspace import (
    UNKNOWN,
    Entries,
    RebuildWorkspace,
    payload_entries,
    places_of,
    put_entries,
)
from vhdx.disk import Disk
from vhdx.image import Image, image_of

# Those that are found without reading every inode of a disk.
_SIGNS: tuple[Callable[[Disk], Iterable[Sign]], ...] = (
    gpt_signs,
    mbr_signs,
    header_signs,
    superblock_signs,
    boot_signs,
    record_signs,
    group_signs,
    node_signs,
)
_MOST_SIGNS, _MOST_BLOCKS = 1 << 15, 1 << 16
# Signs that are looked for in all blocks: what is damaged, and not moved, is nowhere.
_MOST_FAILING = 32


def exchange_entries(work: RebuildWorkspace, image: Image) -> None:
    """Put blocks back whose entries changed places, where all have an owner; of a child the parent has a part."""
    if image.has_parent or image.geometry.block_count > _MOST_BLOCKS:
        return
    places = places_of(payload_entries(image.table))
    moved = _moved(work, image, places)
    if not moved:
        return
    table, marks = image.table, (len(work.doubted), len(work.rebuilt))
    before = {table.geometry.payload_slot(block): int(payload_entries(table)[block]) for block in moved}
    put_entries(work, table, dict.fromkeys(before, UNKNOWN))
    place_blocks(work, image_of(work.structures), sorted(int(places[block]) for block in moved))
    _put_the_last(work, image_of(work.structures), moved, {int(places[block]) for block in moved})
    if len(work.rebuilt) == marks[1]:  # nothing shows where they belong
        put_entries(work, table, before)


def _moved(work: RebuildWorkspace, image: Image, places: Entries) -> list[int]:
    """The blocks that hold a sign of another one, and those others, which hold none of their own."""
    size, failing, sound = image.geometry.block_size, list[Sign](), set[int]()
    for sign in _signs_of(image):
        block, within = divmod(sign.start, size)
        if block < len(places) and places[block] and within + sign.length <= size:
            if sign_fits(work.view, int(places[block]) + within, sign):
                sound.add(block)
            else:
                failing.append(sign)
    found = set[int]()
    for sign in failing[:_MOST_FAILING]:
        block, within = divmod(sign.start, size)
        if block not in sound:
            holders = list(islice(_holders(work, places, sign, within), 2))
            found |= {block, *holders} if len(holders) == 1 and holders[0] not in sound else set()
    return sorted(found)


def _signs_of(image: Image) -> Iterator[Sign]:
    return islice((sign for signs in _SIGNS for sign in signs(image) if sign.start >= 0), _MOST_SIGNS)


def _holders(work: RebuildWorkspace, places: Entries, sign: Sign, within: int) -> Iterator[int]:
    """The blocks that hold a sign, as far into them as the block that has to."""
    held = places.nonzero()[0].tolist()
    return (block for block in held if sign_fits(work.view, int(places[block]) + within, sign))


def _put_the_last(work: RebuildWorkspace, image: Image, moved: Sequence[int], rooms: set[int]) -> None:
    """Put one block that is left into the one room that is left, where no ends of files speak against it."""
    places = places_of(payload_entries(image.table))
    blocks = [block for block in moved if not places[block]]
    left = rooms - set(places[list(moved)].tolist())
    votes = Votes(Tails(work.view), image)
    if len(blocks) == len(left) == 1 and len(moved) > 1 and votes.agree(zip(blocks, left, strict=True)):
        evidence = "its entry named the place of a block that changed places with it, and no other room is left"
        put_block(work, image.table, blocks[0], left.pop(), evidence)
