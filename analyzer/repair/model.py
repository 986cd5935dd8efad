"""What a repair is made of: the fixes, with their patches, and the plan. Nothing here touches a file."""

from dataclasses import dataclass
from pathlib import Path

from vhdx.findings import Finding
from vhdx.patched import Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One finding put right. `evidence` is why that is believed; the patches are made durable together."""

    code: str
    title: str
    evidence: str
    patches: tuple[Patch, ...]

    @property
    def length(self) -> int:
        """Bytes that it writes."""
        return sum(patch.length for patch in self.patches)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What is to be done to one file, in this order. Sizes are bytes."""

    path: Path
    file_size: int
    result_size: int
    fixes: tuple[Fix, ...]
    unfixable: tuple[Finding, ...]
    """What will still be wrong afterwards."""
    opens: bool
    """Whether the file can be opened afterwards."""
    witnesses: tuple[tuple[int, int], ...]
    """Ranges (start, end) whose content tells the file from others and from its own later states: its structures."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to write."""
        return not self.fixes
