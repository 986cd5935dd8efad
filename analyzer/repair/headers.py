"""Identifier and header copies: fixed by what explains them, else written anew from the twin; and their update."""

from dataclasses import replace

from analyzer.check.diagnosis.flipped_bits import flips_of_headers
from analyzer.repair.workspace import Workspace
from vhdx.errors import VhdxError
from vhdx.identities import Identities
from vhdx.image import image_from
from vhdx.patched import OverlaySource, Patch
from vhdx.structures.constants import HEADER_OFFSETS, NIL
from vhdx.structures.header import Header, build_header
from vhdx.structures.identifier import SIGNATURE

# There is no greater number: then the restored copy gets the one before, so that its twin stays the current one.
_LAST_NUMBER = (1 << 64) - 1


def fix_headers(work: Workspace) -> None:
    """Put right what a flip explains, then write a copy that is still invalid from its twin."""
    for flipped in flips_of_headers(work.view):
        code = "HDR-04" if work.structures.headers.get().current_copy is None else "HDR-03"
        title = f"header copy {flipped.copy + 1}: {flipped.flip.what}"
        evidence = "of all single errors in the page this one alone makes its checksum match, and the fields make sense"
        work.fix(code, title, evidence, (flipped.at, flipped.page))
    pair = work.structures.headers.get()
    for copy, flaws in enumerate(pair.flaws):
        if flaws and pair.current_copy is not None:
            _from_twin(work, copy, pair.current)


def _from_twin(work: Workspace, copy: int, twin: Header) -> None:
    number = twin.sequence_number + 1 if twin.sequence_number < _LAST_NUMBER else twin.sequence_number - 1
    page = build_header(replace(twin, sequence_number=number))
    title = f"header copy {copy + 1} is written anew from copy {2 - copy}, with sequence number {number}"
    evidence = f"copy {2 - copy} has a matching checksum and sequence number {twin.sequence_number}"
    work.fix("HDR-03", title, evidence, (HEADER_OFFSETS[copy], page))


def update_headers(work: Workspace, code: str, why: str, identities: Identities) -> None:
    """Write both headers as the format wants an update: the one that is not current first, each with the next number.

    The log is closed and the file gets a new file_write_guid; data_write_guid stays, for children know the disk by it.
    [MS-VHDX] 2.2.2.1.
    """
    pair = work.structures.headers.get()
    current, copy = pair.current, pair.current_copy or 0
    new = replace(current, log_guid=NIL, file_write_guid=identities("file_write_guid"))
    for step, slot in enumerate((1 - copy, copy), 1):
        number = min(current.sequence_number + step, _LAST_NUMBER)
        title = f"header copy {slot + 1} is updated ({why}), with sequence number {number}"
        evidence = f"copy {copy + 1} is the current header; the other one is written, flushed, and then this one"
        page = build_header(replace(new, sequence_number=number))
        work.fix(code, title, evidence, (HEADER_OFFSETS[slot], page))


def fix_identifier(work: Workspace) -> None:
    """Restore the 8 bytes when with them, and nothing else, the file opens."""
    found = work.read(0, len(SIGNATURE))
    if found == SIGNATURE:
        return
    view = OverlaySource(work.view, [Patch.of(0, found, SIGNATURE)])
    try:
        image_from(view)
    except VhdxError:
        return
    evidence = "headers, region tables, metadata and the block table's place behind it are valid"
    work.fix("FID-01", "the signature of the file is written again", evidence, (0, SIGNATURE))
