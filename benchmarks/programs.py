"""What is started as a process of its own: this project's command line, and its peers'."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VHDX = (sys.executable, "-m", "cli")
# Installed modules are compiled once, so ours must be allowed to: some shells forbid to keep what was compiled.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(*command: str | Path) -> str:
    """What the program prints; raises CalledProcessError when it fails."""
    return subprocess.run(command, cwd=ROOT, env=_ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def convert(leaf: Path, target: Path) -> None:
    """Ours, without reading back what was written: no peer does that."""
    run(*VHDX, "convert", leaf, target, "--no-verify")


def convert_verified(leaf: Path, target: Path) -> None:
    """Ours, read back, as it is without options."""
    run(*VHDX, "convert", leaf, target)


def copy_sparse(flat: Path, target: Path) -> None:
    """`cp`, which reads no VHDX: the disk, flat already, to another file."""
    run("cp", "--sparse=always", "--reflink=never", flat, target)
    make_durable(target)


def qemu_to_vhdx(flat: Path, target: Path) -> None:
    """QEMU, from the flat disk: of checkpoints it knows nothing."""
    run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", flat, target)
    make_durable(target)


def extract(leaf: Path, target: Path) -> None:
    """7-Zip, which names the file in the folder itself."""
    run("7zz", "x", "-y", f"-o{target.parent}", leaf)
    (target.parent / leaf.with_suffix(".img").name).rename(target)
    make_durable(target)


def qemu_convert(base: Path, target: Path) -> None:
    """QEMU, which knows no chains of this format."""
    run("qemu-img", "convert", "-f", "vhdx", "-O", "raw", base, target)
    make_durable(target)


def make_durable(path: Path) -> None:
    """Flush a file: ours is on the disk when the command returns, and the peers' has to be, too."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
