"""Scan folders for VHDX files: the forest of their chains, what is wrong in it, and what to do next."""

from analyzer.scan.advice import Advice
from analyzer.scan.run import Scan, run_scan

__all__ = ["Advice", "Scan", "run_scan"]
