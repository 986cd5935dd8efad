"""Disks in memory, and what was asked of them."""

from vhdx.runs import Kind, RunTable
from vhdx.source import MemorySource

MIB = 1 << 20


class MemoryDisk:
    """A disk of the bytes of one source, in runs of some length; counts how often its runs were made."""

    sector_size, findings = 512, ()

    def __init__(self, content, run_length):
        self.size, self.sources, self._run_length, self.asked = len(content), (MemorySource(content),), run_length, 0

    def windows(self, start=0, end=None):
        self.asked += 1
        upto = self.size if end is None else end
        for at in range(start, upto, self._run_length):
            step = min(self._run_length, upto - at)
            yield RunTable.of([(at, step, Kind.DATA, 0, at)])

    def error_for(self, run):
        return None

    def require_unchanged(self):
        """It is."""


def one_run(content):
    return MemoryDisk(content, len(content))
