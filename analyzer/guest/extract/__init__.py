"""Files out of a disk into a folder: under names that harm nothing, never outside of it."""

from analyzer.guest.extract.job import plan_extraction, run_extraction
from analyzer.guest.extract.model import Extraction, Lost, Outcome

__all__ = ["Extraction", "Lost", "Outcome", "plan_extraction", "run_extraction"]
