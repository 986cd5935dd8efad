"""Options of a merge in place."""

from dataclasses import dataclass, fields
from pathlib import Path

import click

from analyzer.merge.model import IntoOptions, Letting, Retire, Siblings
from cli.options.common import choice, option


@dataclass(frozen=True, slots=True, kw_only=True)
class IntoParent(IntoOptions):
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

    letting: Letting = choice(
        Letting.DRAIN,
        "With --into: merged files let go of each block at once, for hosts without room. There is no way back.",
        "--drain",
    )

    keep_old: Path | None = option(
        "With --into: keep FILE's old state as OLD, a checkpoint upon the merged FILE.", metavar="OLD"
    )
    undo: Path | None = option(
        "With --into: keep what is written over in UNDO; `vhdx undo FILE UNDO` brings FILE back.", metavar="UNDO"
    )

    def __post_init__(self) -> None:
        """Refuse options that mean nothing without --into; raises UsageError."""
        if self.file is None and any(getattr(self, one.name) != one.default for one in fields(IntoOptions)):
            raise click.UsageError("--delete, --drain, --keep-old, --undo and --accept-siblings are for --into.")
