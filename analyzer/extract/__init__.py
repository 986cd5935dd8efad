"""Files out of a disk into a folder: under names that harm nothing, never outside of it."""

from analyzer.extract.job import Extraction, Lost, Outcome, plan_extraction, run_extraction

__all__ = ["Extraction", "Lost", "Outcome", "plan_extraction", "run_extraction"]
