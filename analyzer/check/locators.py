"""What a parent locator says beside its rules ([MS-VHDX] 2.6.2.6)."""

import re
from collections.abc import Iterator

from vhdx.findings import Finding, Severity
from vhdx.structures.constants import NIL
from vhdx.structures.locator import LINKAGE2, ParentLocator, parse_linkage

_USER = re.compile(r"[\\/](?:Users|Documents and Settings|home)[\\/]([^\\/]+)", re.IGNORECASE)
_HOST = re.compile(r"^\\\\(?![.?]\\)([^\\/]+)|^\\\\\?\\UNC\\([^\\/]+)", re.IGNORECASE)
_VOLUME = re.compile(r"Volume\{([0-9a-f-]{36})\}", re.IGNORECASE)
_DEVICE = re.compile(r"^\\\\[.?]\\(?!Volume\{|[A-Za-z]:|UNC\\)", re.IGNORECASE)


def check_locator_facts(locator: ParentLocator, at: int) -> Iterator[Finding]:
    """What the locator tells or asks for, at file offset `at`, that breaks no rule."""
    second = parse_linkage(locator.get(LINKAGE2))
    if second is not None and second != NIL:
        text = f"the parent may have the identity {second} as well (parent_linkage2)"
        yield Finding("LOC-11", Severity.NOTE, text, at, None, "2.6.2.6.3", found=str(second))
    told = [fact for _, path in locator.paths for fact in _facts(path)]
    if told:
        text = f"the paths tell of the machine that the file comes from: {', '.join(dict.fromkeys(told))}"
        yield Finding("LOC-12", Severity.NOTE, text, at, None, "2.6.2.6.3")
    for key, path in locator.paths:
        if _HOST.search(path) or _DEVICE.search(path):
            text = f"the {key} {path!r} leads to another machine or a device; it is never followed"
            yield Finding("LOC-13", Severity.WARNING, text, at, None, "2.6.2.6.3", found=path)


def _facts(path: str) -> Iterator[str]:
    if user := _USER.search(path):
        yield f"user {user[1]!r}"
    if host := _HOST.search(path):
        yield f"host {(host[1] or host[2])!r}"
    if volume := _VOLUME.search(path):
        yield f"volume {volume[1]}"
    if path[1:3] == ":\\":
        yield f"folder {path.rpartition(chr(92))[0]!r}"
