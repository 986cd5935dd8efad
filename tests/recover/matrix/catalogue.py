"""All specimens of the matrix, made from the raw disks in one folder."""

from collections.abc import Iterator
from pathlib import Path

from fixtures.constants import MIB
from tests.recover.matrix.specimens import Specimen, differencing, dynamic, fixed, live, logged
from tests.recover.matrix.volumes import change_ext4, change_ntfs, make_ext4, make_ntfs


def specimens(folder: Path) -> Iterator[Specimen]:
    """One after the other, for each is as large as its file; the raw disks are made first."""
    ext, ntfs = make_ext4(folder), make_ntfs(folder)
    later_ext, later_ntfs = change_ext4(ext), change_ntfs(ntfs)
    yield logged("dynamic, ext4", ext, MIB)
    yield live("dynamic, ext4, log live", later_ext, MIB)
    yield dynamic("dynamic, ext4, log unused", ext, MIB)
    yield logged("dynamic, NTFS", ntfs, MIB)
    yield dynamic("dynamic, NTFS, log unused", ntfs, 32 * MIB)
    yield differencing("differencing, ext4", ext, later_ext, 2 * MIB)
    yield differencing("differencing, NTFS", ntfs, later_ntfs, 2 * MIB)
    yield fixed("fixed, ext4", ext, 32 * MIB)
    yield fixed("fixed, NTFS", ntfs, 2 * MIB)
