"""All specimens of the matrix, made from the raw disks in one folder."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from fixtures.constants import MIB
from tests.analyzer.recover.matrix.specimens import Specimen, differencing, dynamic, fixed, live, logged
from tests.analyzer.recover.matrix.volumes import change_ext4, change_ntfs, make_ext4, make_ntfs


def specimens(folder: Path, names: Sequence[str] = ()) -> Iterator[Specimen]:
    """Those with these names, all when none is given, one after the other, for each is as large as its file.

    The raw disks are made first.
    """
    ext, ntfs = make_ext4(folder), make_ntfs(folder)
    later_ext, later_ntfs = change_ext4(ext), change_ntfs(ntfs)
    makers = {
        "dynamic, ext4": partial(logged, raw=ext, block_size=MIB),
        "dynamic, ext4, log live": partial(live, raw=later_ext, block_size=MIB),
        "dynamic, ext4, log unused": partial(dynamic, raw=ext, block_size=MIB),
        "dynamic, NTFS": partial(logged, raw=ntfs, block_size=MIB),
        "dynamic, NTFS, log unused": partial(dynamic, raw=ntfs, block_size=32 * MIB),
        "differencing, ext4": partial(differencing, before=ext, after=later_ext, block_size=2 * MIB),
        "differencing, NTFS": partial(differencing, before=ntfs, after=later_ntfs, block_size=2 * MIB),
        "fixed, ext4": partial(fixed, raw=ext, block_size=32 * MIB),
        "fixed, NTFS": partial(fixed, raw=ntfs, block_size=2 * MIB),
    }
    for name, make in makers.items():
        if not names or name in names:
            yield make(name)
