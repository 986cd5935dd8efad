"""What stands beside a file and says that it is not all that its disk held."""

from collections.abc import Iterator

from analyzer.recovery_map.findings import map_finding
from analyzer.recovery_map.paths import accounts_beside, maps_beside
from vhdx.contents import Structures
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.image import image_of


def check_beside(structures: Structures) -> Iterator[Finding]:
    """CHN-14, of a file that opens: how large its disk is tells whether a map can be about it."""
    path = structures.file.path
    if not maps_beside(path) and not accounts_beside(path):
        return
    try:
        finding = map_finding(path, image_of(structures).size)
    except VhdxError:  # the file's own findings say why
        return
    if finding:
        yield finding
