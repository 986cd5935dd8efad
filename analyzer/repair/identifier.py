"""The identifier's signature, when everything behind it says that the file is a VHDX."""

from analyzer.repair.draft import Draft
from vhdx.errors import VhdxError
from vhdx.image import image_from
from vhdx.patched import OverlaySource, Patch
from vhdx.structures.identifier import SIGNATURE


def mend_identifier(draft: Draft) -> None:
    """Restore the 8 bytes when with them, and nothing else, the file opens."""
    found = draft.read(0, len(SIGNATURE))
    if found == SIGNATURE:
        return
    view = OverlaySource(draft.view, [Patch.of(0, found, SIGNATURE)])
    try:
        image_from(view)
    except VhdxError:
        return
    evidence = "headers, region tables, metadata and the block table's place behind it are valid"
    draft.mend("FID-01", "the signature of the file is written again", evidence, (0, SIGNATURE))
