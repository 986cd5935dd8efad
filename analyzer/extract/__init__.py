"""Files out of a disk into a folder: under names that harm nothing, never outside of it."""

from analyzer.extract.job import plan_extraction, run_extraction
from analyzer.extract.model import Extraction, Lost, Outcome

__all__ = ["Extraction", "Lost", "Outcome", "plan_extraction", "run_extraction"]
