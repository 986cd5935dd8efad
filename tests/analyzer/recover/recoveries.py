"""Recoveries of fixtures that something was done to: which case belongs to a seed, and what must hold of it."""

import random
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path

from analyzer.convert.model import Options, OutputFormat
from analyzer.recover.affected_files import Survey
from analyzer.recover.disk.filled import Fill, pattern
from analyzer.recover.inputs.layers import Placed, UnmappedBlocks, View
from analyzer.recover.job import Attempt, RecoverOptions, plan_recovery, run_recovery
from analyzer.recover.rebuild.workspace import BitmapPolicy
from analyzer.recovery_map.beside import map_of
from analyzer.recovery_map.mapfile import Status
from cli.render.recover import details_of, document_of
from cli.render.recover_summary import summary_of
from fixtures.identity import guid
from tests.support.catalogue import fixture_of
from tests.support.mutator import _change, _repaired, subjects
from tests.support.sources import PatchedSource
from vhdx.errors import InputOutputError, ShortReadError, VhdxError
from vhdx.lost import UNIT
from vhdx.parents import Search
from vhdx.ranges import Range, Ranges
from vhdx.reader import Reader
from vhdx.runs import Kind
from vhdx.sink import Existing

MIB = 1 << 20
NAMES = (
    *("chain-3", "states-child", "bitmap-dense", "mixed-block-sizes", "dynamic", "fixed", "sectors-4096"),
    *("log-override", "log-growing", "log-zero-bitmap", "log-closed-entries", "log-old-sessions", "log-applied"),
    *(
        "states-base",
        "bitmap-sparse",
        "log-wrapped",
        "log-lost-tail",
        "log-damaged-first",
        "log-torn",
        "log-truncated-file",
    ),
    *("volume-gpt-ntfs", "volume-ext"),
)
FOLDER = Path("/nowhere")
MOST_BYTES = 128 * MIB
_MOMENTS = (
    None,
    None,
    *range(10, 15),
    *range(25, 28),
    *range(40, 44),
    *(guid("log session", name) for name in ("oldest", "older")),
    guid("live log"),
)
"""Numbers and sessions of the fixtures' logs, and a few that none of them has."""
FORMATS = (OutputFormat.RAW, OutputFormat.VHDX, OutputFormat.VHDX_FIXED)
AGAIN = Options(existing=Existing.REPLACE)


class FaultySource:
    """A source upon a medium with bad sectors, which may end earlier than it says."""

    def __init__(self, below, bad=(), end=None):
        self._below, self.path, self.size = below, below.path, below.size
        self.bad, self.end = Ranges.of(bad), end

    def read_into(self, offset, buffer):
        end = offset + len(buffer)
        if self.bad.touches(Range.between(offset, end)):
            raise InputOutputError(self.path, "read", "Input/output error", offset)
        if self.end is not None and end > self.end:
            raise ShortReadError(self.path, offset, len(buffer), max(0, self.end - offset))
        self._below.read_into(offset, buffer)


@dataclass
class Case:
    """One recovery: sources by path, the options, and what the disk must read as wherever it is called known."""

    story: list[str]
    sources: dict[Path, FaultySource]
    request: RecoverOptions
    truths: dict[Path, object] = field(default_factory=dict)
    """What the disk of each file reads as; nothing where the damage may lawfully change that."""
    format: OutputFormat | None = None
    """An output is written in this form, and gone on with; None: the account alone."""
    damage_to_map: bytes | None = None
    counts: dict[str, int] = field(default_factory=dict)


@cache
def models_of(name):
    """What the disk of each file of a recipe reads as, base first; None where there is no model."""
    fixture = fixture_of(name)
    return tuple(fixture.models.get(file) for file in fixture.chain[::-1])


def case_of(seed):
    """The case that belongs to a seed, always the same."""
    chance = random.Random(f"recover {seed}")
    name = chance.choice(NAMES)
    files, story = subjects(name), [name]
    numbers = [number for number in range(len(files)) if len(files) == 1 or chance.random() < 0.8]
    numbers = numbers or [chance.randrange(len(files))]
    honest = chance.random() < 0.6
    sources = {}
    for number in numbers:
        path = _path(number, files)
        make = _suffering if honest else _mutated
        sources[path] = make(files[number], path, chance, story)
    story.append(f"layers {numbers}")
    inputs = list(sources)
    chance.shuffle(inputs)
    request = RecoverOptions(
        inputs=tuple(inputs), search=Search(), fill=chance.choice(list(Fill)), **_extras(chance, name, inputs)
    )
    judged = honest and request.assumed_base is None and not _is_aged(request)
    truths = {_path(number, files): models_of(name)[number] for number in numbers} if judged else {}
    story.append(", ".join(f"{key.name}={getattr(request, key.name)}" for key in fields(request)[5:]))
    return Case(story, sources, request, truths, *_output(chance))


def _path(number, files):
    """Where a file of a recipe is; one that is alone has the name of a disk, and not of a checkpoint."""
    return FOLDER / f"{number}.{'vhdx' if len(files) == 1 else 'avhdx'}"


def _is_aged(request):
    """Whether the disk is not the present one; old data that is brought back changes nothing that is known."""
    return request.view.as_of is not None


def _extras(chance, name, inputs):
    """Further request, whatever of them there is."""
    extras = {}
    if chance.random() < 0.1:
        extras["assumed_base"] = chance.choice([*inputs, FOLDER / "gone.vhdx"])
    if chance.random() < 0.3:
        moments = _MOMENTS if name.startswith("log-") else (None,)
        extras["view"] = View(as_of=chance.choice(moments), unmapped=chance.choice(list(UnmappedBlocks)))
    if chance.random() < 0.3:
        extras["bitmaps"] = chance.choice(list(BitmapPolicy))
    return extras


def _output(chance):
    if chance.random() >= 0.06:
        return None, None
    noise = chance.randbytes(chance.choice((1, 8, 64))) if chance.random() < 0.6 else None
    return chance.choice(FORMATS), noise


def _suffering(subject, path, chance, story):
    """The file upon a bad medium: what is read of it is right, if it is read at all."""
    size = len(subject.data)
    bad, end = [], None
    kind = chance.choice(("none", "none", "sectors", "structure", "cut", "shrinks"))
    if kind == "sectors":
        places = [chance.randrange(size // UNIT) for _ in range(chance.randrange(1, 30))]
        bad = [Range(at * UNIT, chance.choice((1, 1, 8, 200)) * UNIT) for at in places]
    elif kind == "structure":
        _, at, length = chance.choice(subject.places)
        bad = [Range.between(at // UNIT * UNIT, -(-(at + length) // UNIT) * UNIT)]
    elif kind == "cut":
        size = chance.choice((chance.randrange(size), chance.randrange(size) // MIB * MIB, chance.randrange(2 * MIB)))
    elif kind == "shrinks":
        end = chance.randrange(size)
    story.append(f"{path.name} {kind} {bad[:3]} {size} {end}")
    return FaultySource(PatchedSource(subject.data, size=size, path=path), bad, end)


def _mutated(subject, path, chance, story):
    """The file with some of its structures changed."""
    patches = []
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        what, start, length = chance.choice(subject.places)
        patches.append(_change(subject.data, start + chance.randrange(length), what, chance))
    if chance.random() < 0.15:  # the front overwritten, by zeros or noise
        length = chance.randrange(1, 8) * MIB
        patches.append((0, bytes(length) if chance.random() < 0.5 else chance.randbytes(length)))
    if chance.random() < 0.15:  # a hostile locator, whatever it says
        at = chance.randrange(2 * MIB, min(len(subject.data), 4 * MIB))
        patches.append((at, chance.randbytes(chance.choice((2, 64, 2000)))))
    if chance.random() < 0.5:
        patches += list(_repaired(subject, patches))
    size = len(subject.data)
    if chance.random() < 0.1:
        size = chance.choice((size + 1, size + MIB, chance.randrange(size)))
    story.append(f"{path.name} " + " ".join(f"{at:#x}={data[:16].hex()}" for at, data in patches) + f" size {size}")
    return FaultySource(PatchedSource(subject.data, patches, size, path))


def run_case(case, folder):
    """Do it all, and hold it to what must be; raises AssertionError, and lets everything but VhdxError pass."""

    def opener(path):
        if path not in case.sources:
            raise InputOutputError(path, "open", "No such file or directory")
        return case.sources[path]

    with suppress(VhdxError), plan_recovery(case.request, opener) as plan:
        rows = list(plan.rows())
        assert_covers(rows, plan.disk.size)
        if plan.disk.size > MOST_BYTES:  # of a size that was mutated: its ends alone
            for start in (0, plan.disk.size - MIB):
                assert len(Reader(plan.filled).read(start, MIB)) == MIB
            return
        content = Reader(plan.filled).read(0, plan.disk.size)
        rows = list(plan.rows())
        assert_covers(rows, plan.disk.size)
        assert_told(rows, content, plan, _truth_of(plan, case))
        files = Survey(plan).files
        assert list(summary_of(plan, plan.provenance.totals(), files))
        assert list(details_of(plan, files, None))
        case.counts["read"] = 1
        if case.format is not None:
            _write(case, folder, opener, content)


def _truth_of(plan, case):
    """What the uppermost file reads as: that one which was given last, unless nothing tells the place of another."""
    top = plan.disk.images[-1].path
    strangers = [level for level in plan.levels if level.placed is Placed.BY_TIME or _is_unknown(level)]
    assert not case.truths or strangers or plan.levels[-1].image is None or top == max(case.truths)
    return case.truths.get(top)


def _is_unknown(level):
    return level.image is None and level.path and level.identity is None


def assert_covers(rows, size):
    """The rows follow one another from the disk's first byte to its last."""
    position = 0
    for row in rows:
        assert row.start == position
        assert row.length > 0
        position = row.end
    assert position == size


def assert_told(rows, content, plan, truth):
    """What is lost has its fill, what is zero is zero, and what is known is right where that can be told."""
    sector = plan.disk.sector_size
    for row in _in_pieces(rows):
        got = content[row.start : row.end]
        if row.status is Status.LOST:
            pattern_wanted = plan.request.fill is Fill.PATTERN
            assert got == (pattern(row.start, row.length, sector) if pattern_wanted else bytes(row.length))
        elif row.kind is not Kind.DATA:
            assert got.count(0) == len(got)
        assert plan.request.view.as_of is None or row.status is not Status.KNOWN
        if row.status is Status.KNOWN and truth is not None and row.start < truth.size:
            assert got == truth.read(row.start, row.length), f"{row} is called known and is not right"


def _in_pieces(rows):
    """Rows of a MiB at most: what is compared is made thrice."""
    for row in rows:
        for start in range(row.start, row.end, MIB):
            yield row._replace(start=start, length=min(MIB, row.end - start))


def _write(case, folder, opener, content):
    """Write the image, damage its map as the case says, and go on with it."""
    target = folder / "disk.out"
    first = replace(case.request, target=target, format=case.format, options=AGAIN)
    with plan_recovery(first, opener) as plan:
        run_recovery(plan, partial(document_of, files=Survey(plan).files))
    if case.format is OutputFormat.RAW:
        assert target.read_bytes() == content
    if case.damage_to_map:
        text = bytearray(map_of(target).read_bytes())
        at = random.Random(case.damage_to_map).randrange(len(text))
        text[at : at + len(case.damage_to_map)] = case.damage_to_map
        map_of(target).write_bytes(text)
    with plan_recovery(replace(first, attempt=Attempt.RESUME), opener) as plan:
        run_recovery(plan, partial(document_of, files=Survey(plan).files))
        if case.damage_to_map is None:
            assert Reader(plan.filled).read(0, plan.disk.size) == content
