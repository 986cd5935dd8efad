"""The table of addresses in docs/addresses.md is the one that commands go by."""

from analyzer.address.parse import Kind
from cli.options.takes import TAKES
from tests.support.files import ROOT


def table():
    """A row for each command, in the order of the kinds."""
    yield f"| command | {' | '.join(f'`{kind.value}`' for kind in Kind)} |"
    yield f"|---|{'---|' * len(Kind)}"
    for command, taken in TAKES.items():
        yield f"| `{command}` | {' | '.join('yes' if kind in taken else '' for kind in Kind)} |"


def test_the_page_has_the_table_that_commands_go_by():
    lines = (ROOT / "docs/addresses.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(next(table()))
    assert lines[start : start + len(TAKES) + 2] == list(table())
