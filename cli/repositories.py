"""What the commands of `vhdx backup` share: how a repository is named and opened, and how points are shown."""

from pathlib import Path

from analyzer.backup.manifest import Manifest
from analyzer.backup.place import LocalPlace, Place
from analyzer.backup.repository import Repository, open_repository
from cli.text import plural, safe, size


def place_of(name: str) -> Place:
    """The place that a command line names: a folder."""
    return LocalPlace(Path(name))


def repository_of(name: str) -> Repository:
    """The repository that a command line names, opened."""
    return open_repository(place_of(name))


def point_line(manifest: Manifest) -> str:
    """A restore point on one line."""
    facts = [
        manifest.name,
        f"{manifest.created:%Y-%m-%d %H:%M:%S}Z",
        f"disk of {size(manifest.size)}",
        f"layer {manifest.layer} of {safe(manifest.chain[-1].name)}",
    ]
    if manifest.lost:
        facts.append(f"{plural(len(manifest.lost), 'range')} LOST")
    return "  ".join(facts)
