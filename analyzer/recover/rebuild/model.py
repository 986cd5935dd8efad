"""What a salvage gives: the image, what of it was rebuilt from which evidence, and what stays lost."""

from dataclasses import dataclass
from enum import Enum

from vhdx.image import Image
from vhdx.ranges import NO_RANGES, Ranges


class Certainty(Enum):
    """How far a rebuilt structure can be believed."""

    CERTAIN = "certain"
    """The evidence allows nothing else."""
    LIKELY = "likely"
    """The evidence fits and nothing contradicts it; something else could fit as well."""
    GUESSED = "guessed"
    """No evidence at all: the caller chose, and the choice may be wrong."""


class BitmapPolicy(Enum):
    """What becomes of a partially present block whose sector bitmap is lost."""

    LOST = "lost"
    """Its sectors cannot be known."""
    WHOLE = "whole"
    """All of it is taken as this file's."""
    PARENT = "parent"
    """All of it is left to the parent."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """One structure that was lost: `how` it was made anew, and the evidence, one sentence each."""

    structure: str
    how: str
    evidence: tuple[str, ...]
    certainty: Certainty


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What could be saved of one file.

    `image` is an ordinary image over the source with what was rebuilt laid over it; None when too little is left, and
    then nothing is rebuilt either. It closes the source. `lost` has one sentence for each thing that no evidence
    brings back. `doubted` are the ranges of the disk that rest on what is merely likely, and
    `guessed` those that rest on the caller's choice alone.
    """

    image: Image | None
    rebuilt: tuple[Rebuilt, ...]
    lost: tuple[str, ...]
    doubted: Ranges = NO_RANGES
    guessed: Ranges = NO_RANGES
