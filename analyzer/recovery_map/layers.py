"""A chain whose files are read by the maps that `vhdx recover` left beside them: what these have as lost is LOST."""

from dataclasses import replace

from analyzer.recovery_map.beside import is_accompanied
from vhdx.chain import Chain


def with_maps(chain: Chain) -> Chain:
    """The chain, with LOST in each layer what the map beside its file has as lost; unusable maps change nothing."""
    if not any(is_accompanied(image.path) for image in chain.layers):
        return chain
    # Most images have no map: what reads one is loaded where there is one.
    from analyzer.recovery_map.disk import masked, standing_if_usable

    standings = [standing_if_usable(image.path, image.size) for image in chain.layers]
    return replace(chain, layers=tuple(map(masked, chain.layers, standings)))
