"""What stands beside a file and says that it is not all that its disk held."""

from collections.abc import Iterator
from pathlib import Path

from analyzer.recovery_map.findings import map_finding
from analyzer.recovery_map.paths import accounts_beside, maps_beside
from vhdx.errors import VhdxError
from vhdx.findings import Finding
from vhdx.image import open_image


def check_beside(path: Path) -> Iterator[Finding]:
    """CHN-14, of a file that opens: how large its disk is tells whether a map can be about it."""
    if not maps_beside(path) and not accounts_beside(path):
        return
    try:
        with open_image(path) as image:
            finding = map_finding(path, image.size)
    except VhdxError:  # told already
        return
    if finding:
        yield finding
