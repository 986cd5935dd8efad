"""What the blocks of a disk that is recovered hold, held against what its file systems say of them."""

from collections.abc import Iterator
from functools import cached_property
from itertools import takewhile

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.judgement.judge import merged_into
from analyzer.recover.disk.filled import FilledDisk
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.inputs.layers import PRESENT, View
from analyzer.witnesses.account import MOST_STATES, Account, State, account_of
from vhdx.ranges import Ranges


class Content:
    """Looks into the disk once, when it is asked: after the data was copied, so that a failing medium gave it first."""

    def __init__(self, filled: FilledDisk, view: View) -> None:
        """Of a disk in the state of `view`; only the present state is one whose parts belong together."""
        self._filled, self._view = filled, view

    @cached_property
    def account(self) -> Account:
        """What contradicts its place; layers are counted among the files that are there."""
        if self._view != PRESENT:
            return Account()
        disk = self._filled.noted()
        sizes = [image.parameters.block_size for image in disk.layers]
        return account_of(disk, ReadableDisk(disk, disk.policy), sizes, self._older())

    def _older(self) -> Iterator[State]:
        """The states of the files from the base on; none above a gap, or where an earlier run has what they hold."""
        filled, levels = self._filled, self._filled.disk.levels
        if filled.earlier.known or filled.left_out:
            return
        present = list(takewhile(lambda level: level.image is not None, levels))
        images = [level.image for level in present if level.image is not None]
        for number in range(1, min(len(levels) - 1, merged_into(images), MOST_STATES) + 1):
            disk = FilledDisk(PartialDisk(levels[:number]), None, faults=filled.policy.faults)
            yield State(disk, ReadableDisk(disk, disk.policy))

    def doubts(self) -> Iterator[tuple[int, Ranges]]:
        """Each level that is there, and the ranges in which what it holds contradicts its place."""
        present = (number for number, level in enumerate(self._filled.disk.levels) if level.image is not None)
        for layer, number in enumerate(present):
            yield number, self.account.ranges_of(layer)
