"""Plain words for a finding code or a code of Windows."""

import re

from vhdx.catalogue import Rule, WindowsCode, rules, windows_codes
from vhdx.errors import UnknownCodeError

_FINDING = re.compile(r"([A-Za-z]{3})-?(\d{1,2})")
_WINDOWS = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{8})|0[xX]([0-9A-Fa-f]{1,8})")


def explain(code: str) -> Rule | WindowsCode:
    """What a code means: BAT-04, bat4, 0xC03A000E, -1069940722 (as PowerShell prints it), ERROR_VHD_....

    Raises UnknownCodeError for a code that is in neither catalogue.
    """
    text = code.strip()
    match = _FINDING.fullmatch(text)
    rule = rules().get(f"{match[1].upper()}-{int(match[2]):02}") if match else None
    if found := rule or _windows(text):
        return found
    raise UnknownCodeError(text, tuple(rules()), tuple(windows_codes()))


def _windows(text: str) -> WindowsCode | None:
    known = windows_codes()
    by_name = {entry.name: entry for entry in known.values()}
    match = _WINDOWS.fullmatch(text)
    number = int(match[1] or match[2], 16) if match else None
    if number is None and re.fullmatch(r"-?\d{1,10}", text):  # Windows prints its codes as signed numbers, too
        number = int(text)
    # PowerShell and WMI print the same 32 bits as a signed number: modulo 2^32 both are one.
    candidates = [text, f"0x{number % (1 << 32):08X}" if number is not None else ""]
    return next((known[name] for name in candidates if name in known), by_name.get(text.upper()))


def findings_page() -> str:
    """The catalogue as a page of Markdown: docs/findings.md."""
    lines = [_HEAD]
    for group, title in GROUPS.items():
        lines.append(f"\n## {group}: {title}\n")
        lines += [_entry(rule) for code, rule in rules().items() if code.startswith(group)]
    lines.append("\n## Codes of Windows\n\n| code | name | meaning | what to do | findings |\n|---|---|---|---|---|")
    lines += [
        f"| {entry.code} | {entry.name} | {entry.meaning} | {entry.remedy} | {', '.join(entry.findings)} |"
        for entry in windows_codes().values()
    ]
    return "\n".join(lines) + "\n"


def _entry(rule: Rule) -> str:
    facts = [rule.severity.name.lower()]
    facts += [f"[MS-VHDX] {rule.section}"] if rule.section else []
    facts += [f"Windows: {rule.windows}"] if rule.windows else []
    return (
        f"### {rule.code} {rule.title}\n\n*{' · '.join(facts)}*\n\n{rule.meaning}\n\n"
        f"* Cause: {rule.cause}\n* What to do: {rule.remedy}\n"
    )


_HEAD = """# Findings

Every finding that `vhdx check`, `vhdx scan` and opening a file can report. A code is stable for ever; the severity is
the worst that it can have. `vhdx explain CODE` prints the same in a terminal. This page is generated from
`vhdx/catalogue/findings.toml` by `make docs`."""

GROUPS = {
    "FID": "file",
    "HDR": "headers",
    "REG": "region tables",
    "MET": "metadata",
    "LOC": "parent locator",
    "BAT": "block table",
    "SBM": "sector bitmaps",
    "LOG": "log",
    "CHN": "chain",
    "CON": "content",
}
"""What codes are about, by their first letters."""


if __name__ == "__main__":
    import sys

    sys.stdout.write(findings_page())
