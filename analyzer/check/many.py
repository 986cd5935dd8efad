"""Many files and chains, checked by whatever runs the work; each is what a check of it alone gives."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analyzer.check.check import Content, check_chain, check_file
from analyzer.check.file import unreadable
from analyzer.check.files import FileCache
from analyzer.check.result import Checked
from analyzer.progress import Progress, no_progress
from analyzer.tasks.engine import Engine, Here, Lost
from vhdx.parents import Search
from vhdx.source_map import SourceMaps

BATCH = 16
"""Subjects of one task: so many that handing it over costs little beside it, so few that a lost one is soon redone."""
# Files that are looked at together: on a network share the wait for one is spent on the others.
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be checked: a file, or with a search for parents the chain of which it is the leaf."""

    path: Path
    search: Search | None


def check_many(
    subjects: Sequence[Subject],
    engine: Engine,
    *,
    content: Content,
    cache: FileCache,
    maps: SourceMaps,
    tick: Progress = no_progress,
) -> Iterator[Checked]:
    """What a check of each gives, in their order; `cache` is of this process, and others have theirs, by `maps`."""
    here = isinstance(engine, Here)
    work = partial(_check_all, content=content, cache=cache) if here else partial(_apart, content=content, maps=maps)
    results = engine.run(work, subjects, BATCH, tick)
    for subject, result in zip(subjects, results, strict=True):
        if isinstance(result, Lost):
            path = subject.path
            yield Checked(path, (unreadable(result.error(path), path),), (path,))
        else:
            yield result


def _apart(subjects: Sequence[Subject], *, content: Content, maps: SourceMaps) -> list[Checked]:
    with FileCache(maps) as cache:
        return _check_all(subjects, content=content, cache=cache)


def _check_all(subjects: Sequence[Subject], *, content: Content, cache: FileCache) -> list[Checked]:
    def check(subject: Subject) -> Checked:
        if subject.search is None:
            return check_file(subject.path, content=content, cache=cache)
        return check_chain(subject.path, search=subject.search, content=content, cache=cache)

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(check, subjects))
