"""`python -m tests.analyzer.recover.matrix [FILE]`: run the matrix and write its tables into FILE between the marks."""

import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.analyzer.recover.matrix.catalogue import specimens
from tests.analyzer.recover.matrix.table import Outcomes, singles_table, summary_table, truncations_table
from tests.analyzer.recover.matrix.trial import attempts, fronts, paired_damages, single_damages, truncations

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
_KINDS = {"singles": single_damages, "pairs": paired_damages, "fronts": fronts, "cuts": truncations}


def run(folder: Path) -> dict[str, dict[str, Outcomes]]:
    """The results of all damages to all specimens, by kind of damage and name of specimen."""
    found: dict[str, dict[str, Outcomes]] = {kind: {} for kind in _KINDS}
    for specimen in specimens(folder):
        for kind, damages in _KINDS.items():
            found[kind][specimen.name] = list(attempts(specimen, list(damages(specimen))))
        sys.stderr.write(f"{specimen.name}: done\n")
    return found


def text_of(found: dict[str, dict[str, Outcomes]]) -> str:
    """The tables, with their headings."""
    parts = [
        ("Each structure lost, by zeros or by noise", singles_table(found["singles"])),
        ("The front of the file overwritten", singles_table(found["fronts"])),
        ("Two structures lost at once", summary_table(found["pairs"])),
        ("The file cut at every MiB", truncations_table(found["cuts"])),
    ]
    return "\n".join(f"### {title}\n\n" + "\n".join(lines) + "\n" for title, lines in parts)


def wrong(found: dict[str, dict[str, Outcomes]]) -> list[str]:
    """Damages after which something that is not so was said to be known."""
    return [
        f"{name}: {damage.name} ({damage.filler.value})"
        for outcomes_of in found.values()
        for name, outcomes in outcomes_of.items()
        for damage, result in outcomes
        if result.wrong
    ]


def into_page(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Put a text between two marks of a page."""
    before, _, rest = page.read_text().partition(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}")


def main() -> int:
    """Run, write, and fail where anything known is wrong."""
    logging.disable(logging.CRITICAL)
    with TemporaryDirectory() as folder:
        found = run(Path(folder))
    text = text_of(found)
    if len(sys.argv) > 1:
        into_page(Path(sys.argv[1]), text)
    else:
        sys.stdout.write(text)
    for line in wrong(found):
        sys.stderr.write(f"known and wrong: {line}\n")
    return int(bool(wrong(found)))


if __name__ == "__main__":
    sys.exit(main())
