"""Images of file systems, made by other programs without mounting; and chains whose layers are such images."""

import marshal
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from fixtures import encode
from fixtures.identity import Identity
from fixtures.recipes.kit import child_of
from fixtures.spec import Block, BlockState, ImageSpec
from tests.analyzer.guest import ntfs_library

MIB, SECTOR = 1 << 20, 512
TOOLS = {
    "ntfs": ("mkntfs",),
    "fat": ("mkfs.fat", "mcopy"),
    "exfat": ("mkfs.exfat",),
    "ext": ("mkfs.ext4", "debugfs"),
    "xfs": ("mkfs.xfs", "xfs_db"),
    "btrfs": ("mkfs.btrfs",),
}


def run(*arguments, **options):
    """A program that must be content; its output."""
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK": "1"}
    environment |= options.pop("env", {})
    words = list(map(str, arguments))
    with (
        tempfile.TemporaryFile() as given
    ):  # a pipe takes 4 KiB at a time, and more of the processor than most programs
        given.write(options.pop("input", b""))
        given.seek(0)
        return subprocess.run(words, check=True, capture_output=True, env=environment, stdin=given, **options).stdout


def is_missing(kind):
    """Whether what makes images of that kind ("ext", or a kind of it as "ext4-1k") is not installed."""
    kind = next(name for name in TOOLS if kind.startswith(name))
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if kind == "ntfs" and ntfs_library.library_path() is None:
        return True
    return any(shutil.which(tool, path=path) is None for tool in TOOLS[kind])


def empty(path, size):
    """A file of zeros."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def make_ntfs(path, size=8 * MIB):
    run("mkntfs", "-Q", "-F", "-q", "-L", "Daten", empty(path, size))
    return path


def edit_ntfs(path, *lines):
    """Do to an NTFS image what the lines say; bytes are given as they are."""
    run(sys.executable, "-I", "-S", ntfs_library.__file__, path, input=marshal.dumps(lines))


def make_fat(path, size=8 * MIB, bits=16):
    run("mkfs.fat", "-F", bits, "-n", "STICK", empty(path, size))
    return path


def mtool(name, image, *arguments, **options):
    return run(name, "-i", image, *arguments, **options)


def fat_write(image, name, data):
    mtool("mcopy", image, "-o", "-", f"::{name}", input=data)


def make_exfat(path, size=8 * MIB):
    run("mkfs.exfat", "-L", "CARD", empty(path, size))
    return path


def make_ext(path, files, size=8 * MIB, *options):
    """ext4 with these files, {path: bytes}."""
    folder = path.with_suffix(".files")
    folder.mkdir()
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    run("mkfs.ext4", "-q", "-L", "root", "-O", "^metadata_csum", *options, "-d", folder, empty(path, size))
    shutil.rmtree(folder)
    return path


def make_xfs(path, files, size, *options):
    """XFS with these files, {name: bytes}."""
    folder = path.with_suffix(".files")
    folder.mkdir()
    lines = ["/dev/null", "0 0", "d--755 0 0"]
    for name, data in files.items():
        (folder / name).write_bytes(data)
        lines.append(f"{name} ---644 0 0 {folder / name}")
    prototype = folder / "prototype"
    prototype.write_text("\n".join([*lines, "$", ""]))
    # Without these mkfs.xfs makes no volume below 300 MiB; they are what its own tests set.
    own = dict.fromkeys(("TEST_DIR", "TEST_DEV", "QA_CHECK_FS"), "")
    run("mkfs.xfs", "-q", *options, "-p", prototype, empty(path, size), env=own)
    shutil.rmtree(folder)
    return path


def free_in_xfs(path):
    """(first, count) of the blocks of 4096 bytes that are free, by the volume's second opinion."""
    per_group = int(run("xfs_db", "-c", "sb 0", "-c", "p agblocks", path).split()[-1])
    rows = [line.split() for line in run("xfs_db", "-c", "freesp -d", path).decode().splitlines()]
    return [(int(group) * per_group + int(first), int(count))
            for group, first, count in (row for row in rows if len(row) == 3 and row[0].isdigit())]  # fmt: skip


def make_btrfs(path, files, size, *options):
    """btrfs with these files, {name: bytes}; what it has free are holes of the image."""
    folder = path.with_suffix(".files")
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    run("mkfs.btrfs", "-q", *options, "--rootdir", folder, empty(path, size))
    shutil.rmtree(folder)
    return path


def debugfs(image, *requests):
    """Requests to debugfs, which may write."""
    text = "\n".join(requests) + "\n"
    run("debugfs", "-w", "-f", "-", image, input=text.encode())


def debugfs_said(image, request):
    """What debugfs answers to a request, read-only."""
    return run("debugfs", "-R", request, image).decode()


def ext_write(image, name, data):
    """A file in an ext image, made anew."""
    source = image.with_suffix(".content")
    source.write_bytes(data)
    # Linux gives an inode another generation whenever it is used anew; debugfs leaves it at 0.
    generation = zlib.crc32(data + name.encode())
    debugfs(image, f'write "{source}" "{name}"', f'set_inode_field "{name}" generation {generation}')
    source.unlink()


def chain_of(folder, *states, names=("base.vhdx", "layer1.avhdx", "layer2.avhdx"), unit=SECTOR):
    """A chain whose layer N reads as the Nth raw image does: base and differencing files; gives the leaf's path.

    Differencing files hold what differs in units of so many bytes.
    """
    folder.mkdir(exist_ok=True)
    before = b""
    spec = None
    for number, state in enumerate(states):
        data = Path(state).read_bytes()
        data += bytes(-len(data) % MIB)
        if spec is None:
            spec = ImageSpec(size=len(data), identity=Identity.of(f"{folder.name}-0"), blocks=dict(_full(data)))
        else:
            parent = f".\\{names[number - 1]}"
            spec = child_of(spec, f"{folder.name}-{number}", dict(_partial(before, data, unit)), path=parent)
        encode(spec).write_to(folder / names[number])
        before = data
    return folder / names[len(states) - 1]


def _full(data):
    for block in range(len(data) // MIB):
        part = data[block * MIB : (block + 1) * MIB]
        if part.count(0) != MIB:
            yield block, Block(state=BlockState.FULLY_PRESENT, data={0: part})


def _partial(before, after, unit):
    for block in range(len(after) // MIB):
        sectors = {}
        if before[block * MIB : (block + 1) * MIB] == after[block * MIB : (block + 1) * MIB]:
            continue
        for at in range(block * MIB, (block + 1) * MIB, unit):
            if before[at : at + unit] != after[at : at + unit]:
                for sector in range(at, at + unit, SECTOR):
                    sectors[(sector - block * MIB) // SECTOR] = after[sector : sector + SECTOR]
        yield block, Block(state=BlockState.PARTIALLY_PRESENT, data=sectors)
