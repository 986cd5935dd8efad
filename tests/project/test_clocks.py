"""A test that fails because a machine is busy says nothing of the product: none of them reads a clock to judge."""

import ast

from tests.support.files import ROOT

CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
FOR_BUDGETS = {"tests/vhdx/test_mutations.py", "tests/analyzer/recover/test_mutations.py"}
"""Fuzz runs go on for as many seconds as they are given: they read a clock to end, not to judge."""


def clocks_read_by(path):
    """The names of clocks that a file calls; most of 300 files name none, and are not parsed."""
    text = path.read_text(encoding="utf-8")
    if not any(name in text for name in CLOCKS):
        return set()
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return {name for call in calls if (name := getattr(call, "attr", getattr(call, "id", None))) in CLOCKS}


def test_no_test_asserts_wall_time():
    readers = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py") if clocks_read_by(path)
    }
    assert readers <= FOR_BUDGETS, "count calls (tests/support/effort.py), bytes or seconds of the processor instead"
