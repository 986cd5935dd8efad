"""A disk made of runs that a test wrote down, over the sources that it names."""

from dataclasses import dataclass
from pathlib import Path

from vhdx.errors import LostDataError
from vhdx.runs import Kind, RunTable


@dataclass
class RunsDisk:
    """A disk of these runs, which follow one another from byte 0."""

    sources: list
    runs: list
    sector_size: int = 512

    @property
    def size(self):
        return self.runs[-1].end

    def windows(self, start=0, end=None):
        yield RunTable.of(self.runs).clip(start, min(self.size, self.size if end is None else end))

    def error_for(self, run):
        return LostDataError(Path("x"), run.start, run.length, "gone") if run.kind is Kind.LOST else None

    def require_unchanged(self):
        pass
