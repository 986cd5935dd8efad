"""Files whose structures are lost, opened all the same: each structure from the best evidence that is left."""

from analyzer.recover.rebuild.job import salvage_blocks, salvage_image
from analyzer.recover.rebuild.workspace import BitmapPolicy, Certainty, Rebuilt, Salvaged

__all__ = ["BitmapPolicy", "Certainty", "Rebuilt", "Salvaged", "salvage_blocks", "salvage_image"]
