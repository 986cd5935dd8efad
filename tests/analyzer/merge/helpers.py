"""Merges in place over files in memory."""

from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from analyzer.merge import run as running
from analyzer.merge.model import Family, IntoOptions
from analyzer.merge.plan import plan_merge_into
from analyzer.merge.run import run_merge_into
from tests.support.crashing import PagedFile, Recorder
from tests.support.plain_reader import disk_of
from tests.support.strategies import name_of
from vhdx.chain import open_chain
from vhdx.contents import Structures
from vhdx.edit.replaying import apply_log
from vhdx.parents import OnMismatch


def recorded(stack, **more):
    """A stack's files in memory, and their paths, base first."""
    paths = [Path(name_of(number)) for number in range(len(stack.specs))]
    files = zip(paths, stack.files, strict=True)
    return Recorder({path: PagedFile.of(file, path) for path, file in files}, **more), paths


def opened_chain(run, paths):
    """The chain in these media, by its product's reader."""
    return open_chain(
        paths[-1],
        parents=paths[-2::-1],
        on_mismatch=OnMismatch.REFUSE,
        opened=lambda path: Structures(run.media[path]),
    )


def merge(run, paths, into=0, *, family=None, options=None):
    """Plan and run the merge of all above layer `into`, live logs applied first; gives the plan."""
    for path in paths[into:]:
        apply_log(run.media[path])
    chain = opened_chain(run, paths)
    found = family or Family()
    plan = plan_merge_into(chain, paths[into], options or IntoOptions(), find=lambda _chain, _layer: found)
    run_merge_into(plan, chain, lambda path: nullcontext(run.media[path]))
    return plan


def disk(files, paths):
    return disk_of([files[path] for path in paths])


def read_by_product(files, paths):
    chain = open_chain(paths[-1], parents=paths[-2::-1], opened=lambda path: Structures(files[path]))
    return chain.read(0, chain.size)


@contextmanager
def small_batches():
    """Commits after every block or so, so that small disks have many."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "_PAGES", 2)
        yield
