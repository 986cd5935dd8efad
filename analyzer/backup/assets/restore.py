#!/usr/bin/env python3
"""Restores a disk from this repository with nothing but Python 3.8 or newer and the program zstd.

    python3 restore.py                      the restore points
    python3 restore.py NAME OUT.raw         the whole disk, as a sparse raw image
    python3 restore.py NAME - | ...         the same to a pipe

Every chunk is checked against its id, and the whole image against the SHA-256 in the manifest where that has one.
The repository is the folder in which this file stands, unless --repository names another.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Tuple

Item = Tuple[int, int, str]
"""Start and end of a chunk on the disk, and its id."""

AT_ONCE = 64 << 20
ITEM = struct.Struct("<Q32s")
FRONT = struct.Struct("<8Q")
INDEX_OF_SHA256 = (48, 0x96824D9C7B129FF9, 0x9000000000000000)
TABLE = 0xE75B9E112F17417D
TAIL = struct.Struct("<5Q")


class RestoreError(Exception):
    """Why the disk cannot be restored."""


def shown(text: object) -> str:
    """A text with everything that a terminal would obey as an escape."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in str(text))


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


def contents(folder: Path, items: List[Item]) -> Iterator[Tuple[int, bytes]]:
    """Start and content of each chunk that holds something, checked. One process unpacks many: it costs most."""
    zeros = {length: hashlib.sha256(bytes(length)).hexdigest() for length in {end - start for start, end, _ in items}}
    held = [(start, end, chunk) for start, end, chunk in items if chunk != zeros[end - start]]
    many = max(1, AT_ONCE // max(1, items[0][1])) if items else 1
    for first in range(0, len(held), many):
        batch = held[first : first + many]
        paths = [folder / chunk[:4] / (chunk + ".cacnk") for _, _, chunk in batch]
        for path in paths:
            if not path.is_file():
                raise RestoreError(f"chunk {path} is missing")
        content, position = unpack(paths), 0
        for path, (start, end, chunk) in zip(paths, batch):
            part = content[position : position + end - start]
            position += end - start
            # All before it were right and as long as they must be, so that it is this one that is not.
            if hashlib.sha256(part).hexdigest() != chunk:
                place = f"bytes {start} to {end} of the disk"
                raise RestoreError(f"chunk {path} ({place}) is damaged: its content has another SHA-256")
            yield start, part


def unpack(paths: List[Path]) -> bytes:
    """What zstd makes of some files, one after the other; whether that is right, the ids tell."""
    command = ["zstd", "-d", "-c", "-q", "--"] + [str(path) for path in paths]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    except FileNotFoundError:
        raise RestoreError("the program zstd is not installed (Debian: apt install zstd)") from None


class Image:
    """The output: what is skipped is zeros, a hole in a file."""

    def __init__(self, out: BinaryIO, size: int) -> None:
        self.out, self.size, self.position = out, size, 0
        self.sparse = out.seekable()
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


def restore(repository: Path, name: str, out: BinaryIO) -> str:
    """Write the disk; returns a sentence."""
    require_plain(repository)
    manifest = plain_manifest(repository / "points" / (name + ".json"))
    items = read_index(repository / "points" / (name + ".caibx"), manifest["index_sha256"])
    image = Image(out, manifest["size"])
    for start, data in contents(repository / "chunks.castr", items):
        image.write(start, data)
    found, expected = image.finish(), manifest["image_sha256"]
    if expected is not None and found != expected:
        raise RestoreError(f"the image has SHA-256 {found} and the manifest says {expected}")
    proof = "as the manifest says" if expected else "every chunk is right, the manifest has no sum of the whole"
    return f"{manifest['size']} bytes, SHA-256 {found}, {proof}"


def restore_to_file(repository: Path, name: str, target: Path) -> str:
    """Write the disk beside its place, and give it its name once it is right; returns a sentence."""
    if target.exists():
        raise RestoreError(f"{target} exists already")
    unfinished = target.with_name(target.name + ".part")
    try:
        with unfinished.open("xb") as out:
            said = restore(repository, name, out)
            os.fsync(out.fileno())
    except RestoreError:
        unfinished.unlink()
        raise
    unfinished.replace(target)
    return said


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
            print(f"{shown(path.name[: -len('.json')])}  {shown(manifest['created'])}  {manifest['size']} bytes")
    return bad


def main() -> None:
    """Parse, restore, and leave with 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--repository", type=Path, default=Path(__file__).resolve().parent)
    given = parser.parse_args()
    try:
        if given.name is None:
            sys.exit(min(1, list_points(given.repository)))
        elif given.out is None:
            parser.error("name the image to write, or - for a pipe")
        elif given.out == "-":
            sys.stderr.write(restore(given.repository, given.name, sys.stdout.buffer) + "\n")
        else:
            print(shown(given.out) + ": " + restore_to_file(given.repository, given.name, Path(given.out)))
    except (RestoreError, OSError) as error:
        sys.exit(f"error: {shown(error)}")


if __name__ == "__main__":
    main()
