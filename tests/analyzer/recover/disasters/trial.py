"""What recovery says of the files that a disaster left, held against the truth, sector by sector."""

from dataclasses import dataclass

import numpy as np

from analyzer.guest.filesystems.volume_reader import ReadableDisk
from analyzer.recover.disk.content import Content
from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance
from analyzer.recover.inputs.collect import gather
from analyzer.recover.inputs.layers import PRESENT, Basis
from tests.analyzer.judgement.disks import DELETED
from vhdx.errors import InputOutputError, VhdxError
from vhdx.parents import Search
from vhdx.ranges import Range, Ranges

SECTOR, PIECE = 512, 1 << 22
_DELETED = np.frombuffer(DELETED, dtype=np.uint8)
STATUSES = ("known", "likely", "stale", "lost")


@dataclass(frozen=True)
class Outcome:
    """Bytes of the disk by what is `said` of them; of sectors that hold anything the `right` ones; and all wrong ones.

    `wrong` are the sectors that are known and wrong, whatever they hold; `refusal` says why nothing was recovered.
    """

    said: dict
    right: dict
    wrong_by: dict
    data: int
    wrong: Ranges
    is_checked: bool = False
    """Whether any volume was left that speaks for its content."""
    refusal: str = ""

    @property
    def back(self):
        return self.right["known"] + self.right["likely"]


def outcome(files, truth):
    """What comes of the files, {name: source}, of a disk that was `truth`."""
    sources = {file.path: file for file in files.values()}
    data = int((_sectors(truth).any(axis=1)).sum()) * SECTOR
    nothing = dict.fromkeys(STATUSES, 0)

    def opener(path):
        if path not in sources:
            raise InputOutputError(path, "open", "No such file or directory")
        return sources[path]

    try:
        found = gather(list(sources), Search(), None, opener)
    except VhdxError as error:
        return Outcome(nothing, nothing, nothing, data, Ranges.of(()), refusal=str(error))
    return _compared(PartialDisk(found.levels), truth, data)


def _compared(disk, truth, data):
    filled = FilledDisk(disk, Fill.ZERO)
    content = Content(filled, PRESENT)
    rows = list(Provenance(disk, filled.faults, EarlierRun(), content.doubts()).rows())
    read = ReadableDisk(filled.noted())
    said, right, wrong_by = (dict.fromkeys(STATUSES, 0) for _ in range(3))
    wrong = []
    for row in rows:
        name = "likely" if row.basis is Basis.REBUILT else row.status.value
        said[name] += row.length
        for start in range(row.start, row.end, PIECE):
            end = min(start + PIECE, row.end)
            is_same, is_filled = _held(read, truth, start, end)
            right[name] += int((is_same & is_filled).sum()) * SECTOR
            wrong_by[name] += int((~is_same).sum()) * SECTOR
            if name == "known" and not is_same.all():
                wrong += [Range(start + int(n) * SECTOR, SECTOR) for n in np.flatnonzero(~is_same)]
    if right["known"] and disk.size != len(truth):
        wrong.append(Range(min(disk.size, len(truth)), abs(disk.size - len(truth))))
    return Outcome(said, right, wrong_by, data, Ranges.of(wrong), content.account.is_checked)


def _held(read, truth, start, end):
    """Of each sector whether it is as it was, and whether it holds anything."""
    data, _ = read.read_best_effort(start, end - start)
    found, wanted = _sectors(data), _sectors(truth[start:end].ljust(end - start, b"\0"))
    # What was deleted is in free space: zeros are as right there, for that may have been trimmed.
    is_free = (wanted == _DELETED).all(axis=1) & ~found.any(axis=1)
    return (found == wanted).all(axis=1) | is_free, wanted.any(axis=1)


def _sectors(data):
    data = bytes(data)
    return np.frombuffer(data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0"), dtype=np.uint8).reshape(-1, SECTOR)
