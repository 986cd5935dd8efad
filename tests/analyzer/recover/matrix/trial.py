"""One damage to one specimen: what recovery makes of it, and whether all that it calls known is right."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path

from analyzer.recover.disk.filled import Fill, FilledDisk
from analyzer.recover.disk.partial import PartialDisk
from analyzer.recover.disk.provenance import EarlierRun, Provenance, Row
from analyzer.recover.inputs.collect import gather
from analyzer.recover.inputs.layers import Basis
from fixtures.constants import MIB
from tests.analyzer.recover.matrix.specimens import SECTOR, Specimen
from tests.support.sources import PatchedSource
from vhdx.errors import VhdxError
from vhdx.parents import Search
from vhdx.ranges import NO_RANGES
from vhdx.reader import Reader
from vhdx.runs import Kind


class Filler(Enum):
    """What stands where a structure was."""

    ZEROS = "zeros"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Damage:
    """Ranges of the file overwritten, or the file cut to `size` bytes."""

    name: str
    ranges: tuple[tuple[int, int], ...] = ()
    filler: Filler = Filler.ZEROS
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Bytes of the disk by what is said of them; `wrong` are bytes said to be known that are not so."""

    known: int = 0
    likely: int = 0
    stale: int = 0
    lost: int = 0
    wrong: int = 0
    likely_wrong: int = 0
    data_known: int = 0
    """Bytes of the disk that are not zero and are known; `data_likely` those that are likely, and right."""
    data_likely: int = 0
    data: int = 0
    refusal: str = ""


def single_damages(specimen: Specimen) -> Iterator[Damage]:
    """Each structure, by zeros and by noise."""
    for filler in Filler:
        for name, place in specimen.parts.items():
            yield Damage(name, (place,), filler)


def paired_damages(specimen: Specimen) -> Iterator[Damage]:
    """Each pair of structures, neither of which is a part of the other."""
    for filler in Filler:
        for (one, place), (other, elsewhere) in combinations(specimen.parts.items(), 2):
            if place[0] + place[1] <= elsewhere[0] or elsewhere[0] + elsewhere[1] <= place[0]:
                yield Damage(f"{one} + {other}", (place, elsewhere), filler)


def fronts(specimen: Specimen, most: int = 8) -> Iterator[Damage]:
    """The first MiBs of the file overwritten."""
    for filler in Filler:
        for mib in range(1, most + 1):
            yield Damage(f"the first {mib} MiB", ((0, min(mib * MIB, len(specimen.leaf))),), filler)


def truncations(specimen: Specimen) -> Iterator[Damage]:
    """The file cut at every MiB."""
    for mib in range(len(specimen.leaf) // MIB):
        yield Damage(f"cut to {mib} MiB", size=mib * MIB)


def noise(damage: str, length: int) -> bytes:
    """Bytes that are the same every time and mean nothing."""
    return random.Random(damage).randbytes(length)


def damaged(specimen: Specimen, damage: Damage) -> PatchedSource:
    """The leaf with the damage done to it."""
    patches = []
    for offset, length in damage.ranges:
        content = bytes(length) if damage.filler is Filler.ZEROS else noise(f"{damage.name} {offset}", length)
        patches.append((offset, content))
    return PatchedSource(specimen.leaf, patches, damage.size, _path(len(specimen.files) - 1))


def attempt(specimen: Specimen, damage: Damage) -> Result:
    """What recovery says of the damaged chain, compared with the disk as it was."""
    paths = [_path(number) for number in range(len(specimen.files))]
    sources = dict(
        zip(
            paths,
            [PatchedSource(content, path=path) for content, path in zip(specimen.files, paths, strict=True)],
            strict=True,
        )
    )
    sources[paths[-1]] = damaged(specimen, damage)
    try:
        found = gather(paths, Search(), None, sources.__getitem__)
    except VhdxError as error:
        return Result(lost=len(specimen.truth), data=int(specimen.written[-1]), refusal=str(error))
    return _compared(PartialDisk(found.levels), specimen)


def _path(number: int) -> Path:
    return Path("/nowhere", f"layer{number}.vhdx")


def _compared(disk: PartialDisk, specimen: Specimen) -> Result:
    source = Reader(FilledDisk(disk, Fill.ZERO))
    counts = dict.fromkeys(("known", "likely", "stale", "lost", "wrong", "likely_wrong", *_BACK.values()), 0)
    for row in Provenance(disk, NO_RANGES, EarlierRun()).rows():
        name = _name(row)
        counts[name] += row.length
        if name in {"known", "likely"}:
            wrong, back = _compare(source, row, specimen)
            counts["wrong" if name == "known" else "likely_wrong"] += wrong
            counts[_BACK[name]] += back
    if counts["known"]:  # a disk of another size is as wrong as other bytes
        counts["wrong"] += abs(disk.size - len(specimen.truth))
    return Result(**counts, data=int(specimen.written[-1]))


_BACK = {"known": "data_known", "likely": "data_likely"}


def _name(row: Row) -> str:
    return "likely" if row.basis is Basis.REBUILT else row.status.value


def _compare(source, row: Row, specimen: Specimen) -> tuple[int, int]:
    """Bytes of a row that are wrong, in pieces of up to 1 MiB; bytes that hold something and are right."""
    if row.kind is not Kind.DATA:
        return (row.length if _written(specimen, row.start, row.end) else 0), 0
    wrong = back = 0
    for start in range(row.start, row.end, MIB):
        end = min(start + MIB, row.end)
        buffer = bytearray(end - start)
        source.read_into(start, memoryview(buffer))
        if buffer == specimen.truth[start:end].ljust(end - start, b"\xee"):
            back += _written(specimen, start, end)
        else:
            wrong += end - start
    return wrong, back


def _written(specimen: Specimen, start: int, end: int) -> int:
    """Bytes of the true disk that are not zero."""
    last = len(specimen.written) - 1
    return int(specimen.written[min(end // SECTOR, last)] - specimen.written[min(start // SECTOR, last)])


def attempts(specimen: Specimen, damages: Sequence[Damage]) -> Iterator[tuple[Damage, Result]]:
    """Damage after damage."""
    for damage in damages:
        yield damage, attempt(specimen, damage)
