"""Which files differ between two states of a disk, and how."""

from analyzer.filechanges.find import Finder
from analyzer.filechanges.model import Data, FileChange, What

__all__ = ["Data", "FileChange", "Finder", "What"]
