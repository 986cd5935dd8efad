"""A live log applied for good, as whoever opens a file for writing has to begin ([MS-VHDX] 2.3.3)."""

from vhdx.contents import Structures
from vhdx.edit.headers import Headers
from vhdx.edit.medium import Medium
from vhdx.errors import require
from vhdx.identities import Identities, random_identities
from vhdx.patched import Patch
from vhdx.ranges import Range
from vhdx.replay import logged_patches
from vhdx.structures.constants import NIL


def apply_log(medium: Medium, identities: Identities = random_identities) -> int:
    """Put what a live log holds in its place, durably, and close it; returns the entries applied, 0 of a closed log.

    The file shows the same before and afterwards, to whoever replays logs. Raises CorruptFileError for a log that
    cannot be applied, and what the medium raises.
    """
    structures = Structures(medium)
    headers = Headers(medium)
    if not headers.current.log_is_live:
        return 0
    log = structures.log.get()
    require(medium.path, structures.log.findings)
    size = medium.size
    for patch in logged_patches(log):
        _apply(medium, patch, size)
    last = log.session[log.active[-1]].last_file_offset
    if medium.size < last:
        medium.set_size(last)
    medium.flush()  # once the log is closed nobody replays it
    headers.update(log_guid=NIL, file_write_guid=identities("file_write_guid"))
    return len(log.active)


def _apply(medium: Medium, patch: Patch, size: int) -> None:
    if patch.after is None:  # what is past the end of the file is zeros already
        medium.zero(Range.between(patch.offset, max(patch.offset, min(patch.end, size))))
    else:
        medium.write_at(patch.offset, patch.after)
