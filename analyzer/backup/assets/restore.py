#!/usr/bin/env python3
"""Restores a disk from this repository with nothing but Python 3.8 or newer and the program zstd.

    python3 restore.py                      the restore points
    python3 restore.py NAME OUT.raw         the whole disk, as a sparse raw image
    python3 restore.py NAME - | ...         the same to a pipe
    python3 restore.py NAME OUT.raw --allow-lost    what is there, where chunks are missing or damaged

Every chunk is checked against its id, and the whole image against the SHA-256 in the manifest where that has one.
What is lost, here or when the point was made, is zeros, and OUT.raw.map lists it, a mapfile for GNU ddrescue; then the
exit code is 1.
The repository is the folder in which this file stands, unless --repository names another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import sys
import unicodedata
import uuid
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Tuple

Item = Tuple[int, int, str]
"""Start and end of a chunk on the disk, and its id."""

AT_ONCE = 64 << 20
LINE, LONGEST_NAME = 30000, 80  # Windows takes 32,767 characters; a chunk is 1234/SHA-256.cacnk
ITEM = struct.Struct("<Q32s")
FRONT = struct.Struct("<8Q")
INDEX_OF_SHA256 = (48, 0x96824D9C7B129FF9, 0x9000000000000000)
TABLE = 0xE75B9E112F17417D
TAIL = struct.Struct("<5Q")


Span = Tuple[int, int]
"""Start and end on the disk."""


class RestoreError(Exception):
    """Why the disk cannot be restored."""


class ChunkError(RestoreError):
    """A chunk is not there, or not what it was."""


def shown(text: object) -> str:
    """A text with everything that a terminal would obey as an escape."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in str(text))


def object_of(repository: Path, name: str, suffix: str) -> Path:
    """The file of a restore point: letters that are not ASCII are =XX for each byte of their UTF-8."""
    letters = unicodedata.normalize("NFC", name)
    stored = "".join(one if one.isascii() else "".join(f"={byte:02X}" for byte in one.encode()) for one in letters)
    return repository / "points" / (stored + suffix)


def name_of(path: Path) -> str:
    """The name of the restore point whose file this is."""
    data = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), os.fsencode(path.stem))
    return data.decode("utf-8", "backslashreplace")


def require_plain(repository: Path) -> None:
    """Refuse a repository that this program cannot read."""
    if plain_json(repository / "repository.json").get("mode") != "plain":
        raise RestoreError(f"{repository} is encrypted: only the program vhdx, with its passphrase, can read it")


def plain_json(path: Path) -> Dict[str, Any]:
    """The members of a JSON document."""
    try:
        members: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RestoreError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RestoreError(f"{path} is damaged: {error}") from None
    if not isinstance(members, dict):
        raise RestoreError(f"{path} is damaged: it is no JSON object")
    return members


def plain_manifest(path: Path) -> Dict[str, Any]:
    """The manifest of a restore point, with the members that are used here."""
    manifest = plain_json(path)
    for member, kind in (("created", str), ("size", int), ("index_sha256", str)):
        if not isinstance(manifest.get(member), kind):
            raise RestoreError(f"{path} is damaged: its member {member} is not what it should be")
    manifest.setdefault("image_sha256", None)
    manifest.setdefault("lost", [])
    return manifest


def read_index(path: Path, expected: str) -> List[Item]:
    """(start, end, id) of every chunk, in order."""
    stored = path.read_bytes()
    if hashlib.sha256(stored).hexdigest() != expected:
        raise RestoreError(f"{path} is damaged: its SHA-256 is not the one in the manifest")
    if len(stored) < FRONT.size + TAIL.size or (len(stored) - FRONT.size - TAIL.size) % ITEM.size:
        raise RestoreError(f"{path} is no index: its length is not that of one")
    front = FRONT.unpack_from(stored)
    if front[:3] != INDEX_OF_SHA256 or front[7] != TABLE:
        raise RestoreError(f"{path} is no index of chunks with SHA-256")
    items: List[Item] = []
    start = 0
    for end, chunk in ITEM.iter_unpack(stored[FRONT.size : -TAIL.size]):
        items.append((start, end, chunk.hex()))
        start = end
    return items


def contents(folder: Path, items: List[Item], lost: Optional[List[Span]]) -> Iterator[Tuple[int, bytes]]:
    """Start and content of each chunk that holds something, checked. One process unpacks many: it costs most.

    What cannot be had is added to `lost`, and raises ChunkError where that is None.
    """
    zeros = {length: hashlib.sha256(bytes(length)).hexdigest() for length in {end - start for start, end, _ in items}}
    held = [(start, end, chunk) for start, end, chunk in items if chunk != zeros[end - start]]
    for batch in batches(held, folder):
        yield from some_contents(folder, batch, lost)


def some_contents(folder: Path, batch: List[Item], lost: Optional[List[Span]]) -> List[Tuple[int, bytes]]:
    """The same for chunks of one batch; one that is bad is found by halves, so that all others are had."""
    try:
        return checked(folder, batch)
    except ChunkError:
        if lost is None:
            raise
        if len(batch) == 1:
            lost.append(batch[0][:2])
            return []
        middle = len(batch) // 2
        return some_contents(folder, batch[:middle], lost) + some_contents(folder, batch[middle:], lost)


def checked(folder: Path, batch: List[Item]) -> List[Tuple[int, bytes]]:
    """Start and content of each chunk, all of them right."""
    paths = [folder / chunk[:4] / (chunk + ".cacnk") for _, _, chunk in batch]
    for path in paths:
        if not path.is_file():
            raise ChunkError(f"chunk {path} is missing")
    content, position, parts = unpack(paths), 0, []
    for path, (start, end, chunk) in zip(paths, batch):
        part = content[position : position + end - start]
        position += end - start
        # All before it were right and as long as they must be, so that it is this one that is not.
        if hashlib.sha256(part).hexdigest() != chunk:
            place = f"bytes {start} to {end} of the disk"
            raise ChunkError(f"chunk {path} ({place}) is damaged: its content has another SHA-256")
        parts.append((start, part))
    return parts


def unpack(paths: List[Path]) -> bytes:
    """What zstd makes of some files, one after the other; whether that is right, the ids tell."""
    command = ["zstd", "-d", "-c", "-q", "--"] + [str(path) for path in paths]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    except FileNotFoundError:
        raise RestoreError("the program zstd is not installed (Debian: apt install zstd)") from None


def batches(items: List[Item], folder: Path) -> Iterator[List[Item]]:
    """The items by as many as one process is given: so many bytes, and names that a command line of Windows holds."""
    many = max(1, AT_ONCE // max(1, items[0][1])) if items else 1
    many = min(many, max(1, LINE // (len(str(folder)) + LONGEST_NAME)))
    for first in range(0, len(items), many):
        yield items[first : first + many]


def is_file(out: BinaryIO) -> bool:
    """Whether there can be holes: on Windows a pipe says that it is seekable, and is not."""
    try:
        return stat.S_ISREG(os.fstat(out.fileno()).st_mode)
    except OSError:  # of memory
        return out.seekable()


class Image:
    """The output: what is skipped is zeros, a hole in a file."""

    def __init__(self, out: BinaryIO, size: int) -> None:
        self.out, self.size, self.position = out, size, 0
        self.sparse = is_file(out)
        self.sum = hashlib.sha256()

    def write(self, start: int, data: bytes) -> None:
        """Put bytes at `start`, after all that was written before."""
        self.skip(start)
        self.sum.update(data)
        self.out.write(data)
        self.position = start + len(data)

    def skip(self, until: int) -> None:
        """Zeros up to a place."""
        zeros = bytes(1 << 20)
        while self.position < until:
            step = min(len(zeros), until - self.position)
            self.sum.update(zeros[:step])
            if self.sparse:
                self.out.seek(step, os.SEEK_CUR)
            else:
                self.out.write(zeros[:step])
            self.position += step

    def finish(self) -> str:
        """The rest is zeros; the SHA-256 of all of it."""
        self.skip(self.size)
        if self.sparse:
            self.out.truncate(self.size)
        self.out.flush()
        return self.sum.hexdigest()


def restore(repository: Path, name: str, out: BinaryIO, lost: List[Span], *, allowed: bool) -> str:
    """Write the disk; returns a sentence. What is not known of it is added to `lost`.

    That chunks are missing or damaged must be `allowed`; what was lost when the point was made was allowed then.
    """
    require_plain(repository)
    manifest = plain_manifest(object_of(repository, name, ".json"))
    items = read_index(object_of(repository, name, ".caibx"), manifest["index_sha256"])
    image = Image(out, manifest["size"])
    for start, data in contents(repository / "chunks.castr", items, lost if allowed else None):
        image.write(start, data)
    found, expected = image.finish(), manifest["image_sha256"]
    missed = sum(end - start for start, end in lost)
    before = [(start, start + length) for start, length in manifest["lost"]]
    lost += before
    if missed:
        return f"{manifest['size']} bytes, {missed} of them missing or damaged, which are zeros"
    if expected is not None and found != expected:
        raise RestoreError(f"the image has SHA-256 {found} and the manifest says {expected}")
    gone = f", {sum(end - start for start, end in before)} of them lost when the point was made" if before else ""
    proof = "as the manifest says" if expected else "every chunk is right, the manifest has no sum of the whole"
    return f"{manifest['size']} bytes{gone}, SHA-256 {found}, {proof}"


def restore_to_file(repository: Path, name: str, target: Path, lost: List[Span], *, allowed: bool) -> str:
    """Write the disk beside its place, and give it its name once it is right; returns a sentence.

    Where something is lost, a map is beside it before it has its name.
    """
    unfinished, map_file = target.with_name(target.name + ".part"), target.with_name(target.name + ".map")
    for path in (target, map_file):
        if path.exists():
            raise RestoreError(f"{path} exists already")
    try:
        with unfinished.open("xb") as out:
            said = restore(repository, name, out, lost, allowed=allowed)
            size = out.tell()
            os.fsync(out.fileno())
        if lost:
            manifest = plain_manifest(object_of(repository, name, ".json"))
            identity = f"{uuid.UUID(manifest['index_sha256'][:32])} restored"
            with map_file.open("x", encoding="ascii") as text:
                text.write("".join(map_lines(lost, size, identity)))
            said += f"; {shown(map_file)} lists what is lost"
    except RestoreError:
        unfinished.unlink()
        raise
    unfinished.replace(target)
    return said


def map_lines(lost: List[Span], size: int, identity: str) -> Iterator[str]:
    """A mapfile for GNU ddrescue, as vhdx writes it, which reads an image by the map beside it."""
    yield f"# Mapfile. Created by vhdx recover\n# Disk: {identity}\n# + known, - lost\n"
    yield "# current_pos  current_status  current_pass\n0x00000000     +               1\n"
    yield "#      pos        size  status\n"
    position = 0
    for start, end in [*sorted(lost), (size, size)]:
        if start > position:
            yield f"0x{position:08X}  0x{start - position:08X}  +\n"
        position = max(start, position)
        if end > position:
            yield f"0x{position:08X}  0x{end - position:08X}  -\n"
            position = end


def list_points(repository: Path) -> int:
    """A line for each restore point; returns how many cannot be read."""
    require_plain(repository)
    bad = 0
    for path in sorted((repository / "points").glob("*.json")):
        try:
            manifest = plain_manifest(path)
        except RestoreError as error:
            sys.stderr.write(f"error: {shown(error)}\n")
            bad += 1
        else:
            gone = sum(length for _, length in manifest["lost"])
            told = f"  {gone} bytes LOST" if gone else ""
            print(f"{shown(name_of(path))}  {shown(manifest['created'])}  {manifest['size']} bytes{told}")
    return bad


def main() -> None:
    """Parse, restore, and leave with 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--allow-lost", action="store_true", help="restore what is there where chunks are missing")
    given = parser.parse_args()
    lost: List[Span] = []
    try:
        if given.name is None:
            sys.exit(min(1, list_points(given.repository)))
        elif given.out is None:
            parser.error("name the image to write, or - for a pipe")
        elif given.out == "-":
            sys.stderr.write(
                restore(given.repository, given.name, sys.stdout.buffer, lost, allowed=given.allow_lost) + "\n"
            )
        else:
            said = restore_to_file(given.repository, given.name, Path(given.out), lost, allowed=given.allow_lost)
            print(shown(given.out) + ": " + said)
        sys.exit(1 if lost else 0)
    except (RestoreError, OSError) as error:
        sys.exit(f"error: {shown(error)}")


if __name__ == "__main__":
    main()
