"""Options of a merge in place."""

from dataclasses import dataclass
from pathlib import Path

import click

from analyzer.merge.model import IntoOptions, Retire, Siblings
from cli.options.common import choice, option


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoParent:
    """Which parent takes in what is above it, and what becomes of the merged files."""

    file: Path | None = option(
        "Merge into FILE, a parent of LEAF, in its place: no new file is written.", "--into", metavar="FILE"
    )
    retire: Retire = choice(
        Retire.DELETE, "With --into: remove merged files instead of naming them NAME.merged.", "--delete"
    )
    siblings: Siblings = choice(
        Siblings.ACCEPT,
        "With --into: go on though other files were made upon FILE; they will be wrong.",
        "--accept-siblings",
    )

    def __post_init__(self) -> None:
        """Refuse options that mean nothing without --into; raises UsageError."""
        if self.file is None and (self.retire is Retire.DELETE or self.siblings is Siblings.ACCEPT):
            raise click.UsageError("--delete and --accept-siblings are for --into.")

    def options(self) -> IntoOptions:
        """The same for the job."""
        return IntoOptions(retire=self.retire, siblings=self.siblings)
