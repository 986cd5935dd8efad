"""The catalogue: what every finding code and every Windows code means, how it comes about, what to do.

The words are data (`findings.toml`, `windows.toml`), read when they are first asked for; the checks know codes alone.
"""

import pkgutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from vhdx.findings import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One finding code. `severity` is the worst it can have, `section` that of [MS-VHDX], `windows` a Windows code."""

    code: str
    title: str
    severity: Severity
    meaning: str
    cause: str
    remedy: str
    section: str = ""
    windows: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsCode:
    """One code of Windows, and the finding codes that a file with that trouble gets."""

    code: str
    name: str
    meaning: str
    remedy: str
    findings: tuple[str, ...]


@cache
def rules() -> Mapping[str, Rule]:
    """Every finding code's rule, in the catalogue's order."""
    return {
        code: Rule(**entry | {"code": code, "severity": Severity[entry["severity"].upper()]})
        for code, entry in _entries("findings.toml").items()
    }


@cache
def windows_codes() -> Mapping[str, WindowsCode]:
    """Every code of Windows that has to do with virtual disks."""
    return {
        code: WindowsCode(**entry | {"code": code, "findings": tuple(entry["findings"])})
        for code, entry in _entries("windows.toml").items()
    }


def remedy_of(finding: Finding) -> str:
    """What to do about a finding: its own advice, else its rule's."""
    return finding.advice or rules()[finding.code].remedy


def _entries(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads((pkgutil.get_data(__name__, name) or b"").decode())
