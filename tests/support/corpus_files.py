"""The corpus of files that other programs wrote, unpacked sparsely into a folder of the session."""

import hashlib
import json
import lzma
import os
from pathlib import Path

from tests.support.files import ROOT, patch, sparse_copy

CORPUS = Path(os.environ.get("VHDX_CORPUS") or ROOT.parent / "shared" / "corpus")
_PIECE = 1 << 18
_ZEROS = bytes(_PIECE)


def manifest(group):
    """The manifest of one group; empty when there is no corpus, so that collecting the tests works without it."""
    path = CORPUS / group / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def mutations():
    """The byte patches that belong to OpenVMM's chains."""
    path = CORPUS / "openvmm" / "mutations.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.is_file() else []


def mutate(corpus, case, folder):
    """A copy, in a folder, of the file that a case of `mutations` is about, with its patches."""
    origin = corpus(f"openvmm/{case['base']}")
    path = sparse_copy(origin, folder / origin.name)
    for offset, data in case["patches"]:
        patch(path, offset, bytes.fromhex(data))
    if case["truncate_to"] is not None:
        os.truncate(path, case["truncate_to"])
    return path


class Corpus:
    """Unpacks what is asked for, and once for all xdist workers: a file appears under its name when it is whole."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """The path of an image such as "openvmm/fixed_2m/fixed.vhdx"; what belongs to its set is there as well."""
        group, *inner = Path(name).parts
        top = Path(group) if len(inner) == 1 else Path(group, inner[0])
        packed = [CORPUS / f"{name}.xz"] if len(inner) == 1 else sorted((CORPUS / top).rglob("*.xz"))
        for path in packed:
            target = self.folder / path.relative_to(CORPUS).with_suffix("")
            if not target.exists():
                _unpack(path, target)
        return self.folder / name


def _unpack(packed, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    with lzma.open(packed) as source, part.open("wb") as sink:
        while piece := source.read(_PIECE):
            if piece == _ZEROS[: len(piece)]:
                sink.seek(len(piece), os.SEEK_CUR)
            else:
                sink.write(piece)
        sink.truncate(sink.tell())
    part.chmod(0o444)
    part.replace(target)


def file_hash(path):
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def disk_hash(disk, step=16 << 20):
    """SHA-256 of a disk, made from its runs; what they say is zero is not read."""
    digest = hashlib.sha256()
    zeros = memoryview(bytes(step))
    for table in disk.windows():
        for run in table:
            for at in range(run.start, run.end, step):
                length = min(step, run.end - at)
                digest.update(disk.read(at, length) if run.kind.name in {"DATA", "LOST"} else zeros[:length])
    return digest.hexdigest()
