"""A file system of its own that is soon full."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress

import pytest

MIB = 1 << 20


@pytest.fixture
def small_volume(tmp_path):
    """A small file system of its own, as a folder."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("it takes root to mount")
    image, folder = tmp_path / "image", tmp_path / "volume"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(48 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def filled_but(left, folder):
    """Fill the volume that a folder is but for so many bytes; `filler` has the rest."""
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):  # the file's own map takes some, too
        file.write(bytes(shutil.disk_usage(folder).free - left))
