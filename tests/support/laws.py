"""What holds for every table of runs."""

from itertools import pairwise

from vhdx.runs import Kind, RunTable


def goes_on(first, second):
    """Two runs that follow one another and could be one."""
    same = (first.kind, first.layer) == (second.kind, second.layer)
    return same and (first.kind is not Kind.DATA or first.file_offset + first.length == second.file_offset)


def assert_lawful(table, start, end):
    """The table covers [start, end) exactly: sorted, gapless, no run empty, no neighbours that are mergeable."""
    runs = list(table)
    assert sum(run.length for run in runs) == max(0, end - start)
    if runs:
        assert (runs[0].start, runs[-1].end) == (start, end)
        assert table.end == end
    for run in runs:
        assert run.length > 0
        assert run.kind is Kind.DATA or run.file_offset == 0
    for first, second in pairwise(runs):
        assert first.end == second.start
        assert not goes_on(first, second), (first, second)


def same(first, second):
    """Two tables hold the same runs."""
    return list(first) == list(second)


def rows(table):
    """The runs as plain tuples."""
    return [tuple(int(value) for value in run) for run in table]


def table_of(runs):
    """The table of (length, kind, layer, file_offset) that follow one another from 0."""
    out, at = [], 0
    for length, kind, layer, offset in runs:
        out.append((at, length, kind, layer, offset))
        at += length
    return RunTable.of(out)
