"""What checking gives."""

from dataclasses import dataclass
from pathlib import Path

from vhdx.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Checked:
    """One subject, a file or a chain named by its leaf: what was found, and every file that was looked at."""

    path: Path
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]

    @property
    def worst(self) -> Severity | None:
        """The severity of the gravest finding; None when there is none."""
        return max((finding.severity for finding in self.findings), default=None)
