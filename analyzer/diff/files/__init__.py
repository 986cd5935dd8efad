"""Which files differ between two states of a disk, and how."""

from analyzer.diff.files.find import Finder
from analyzer.diff.files.model import Data, FileChange, What

__all__ = ["Data", "FileChange", "Finder", "What"]
