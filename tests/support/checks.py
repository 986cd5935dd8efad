"""Subjects with findings, as a check gives them: what the renderers are tested on."""

from pathlib import Path

from analyzer.check.result import Checked
from vhdx.findings import Finding, Severity

FOLDER = Path("/srv/vms")
HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x1b[31m\x00\ud800&\"'"


def finding(code="BAT-04", severity=Severity.ERROR, message="the block lies past the end", **facts):
    facts = {"offset": 3145728, "length": 8, "path": FOLDER / "one/disk.vhdx"} | facts
    return Finding(code, severity, message, **facts)


def subject(*findings, path=FOLDER / "one/disk.vhdx", files=()):
    return Checked(path, findings, files or (path,))


def some():
    """A bad subject, one with a note, one that is sound."""
    bad = subject(
        finding(disk_start=1 << 20, disk_length=1 << 20, expected="below 4194304", found="8388608"),
        finding("LOG-01", Severity.WARNING, "the log is live", offset=1 << 20, length=None),
        finding("CHN-01", Severity.ERROR, "the parent was not found", offset=None, length=None),
    )
    noted = subject(
        finding("FID-05", Severity.NOTE, "written by Hyper-V", path=FOLDER / "two/disk.vhdx"),
        path=FOLDER / "two/disk.vhdx",
    )
    return (bad, noted, subject(path=FOLDER / "two/sound.vhdx"))
