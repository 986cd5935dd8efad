"""What every command asks of the maps beside the images that it reads; most images have none."""

from dataclasses import replace
from pathlib import Path

from analyzer.recovery_map.beside import is_accompanied
from vhdx.chain import Chain
from vhdx.findings import Finding, Severity


def map_finding(image: Path, disk_size: int) -> Finding | None:
    """`map_note` as CHN-14; None where it has nothing to say."""
    note = map_note(image, disk_size)
    return Finding("CHN-14", Severity.WARNING, note, path=image) if note else None


def map_note(image: Path, disk_size: int) -> str:
    """What the map beside an image says of its disk, that it cannot be used, or that it is gone; "" of any other."""
    if not is_accompanied(image):
        return ""
    # Most images have no map: what reads one is loaded where there is one.
    from analyzer.recovery_map.disk import map_in_words

    return map_in_words(image, disk_size)


def with_maps(chain: Chain) -> Chain:
    """The chain, with LOST in each layer what the map beside its file has as lost; unusable maps change nothing."""
    if not any(is_accompanied(image.path) for image in chain.layers):
        return chain
    from analyzer.recovery_map.disk import masked, standing_if_usable

    standings = [standing_if_usable(image.path, image.size) for image in chain.layers]
    return replace(chain, layers=tuple(map(masked, chain.layers, standings)))
