"""What the commands of `vhdx backup` share: how a repository is named and opened, and how points are shown."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.open import open_repository
from analyzer.backup.repository.repository import ENCRYPTED, Repository
from analyzer.backup.storage.open import place_of as place_named
from analyzer.backup.storage.storage import Place
from cli.options.passphrase import Passphrase, passphrase_options
from cli.text import fitted, line_width, plural, safe, size, tell

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def repository_argument(function: Decorated) -> Decorated:
    """REPOSITORY, a folder or URL, as `repository`; and where its passphrase comes from, for `repository_of`."""
    return click.argument("repository")(passphrase_options(function))


def place_of(name: str) -> Place:
    """The place that a command line names, a folder or URL; it is closed when the command ends."""
    place = place_named(name)
    click.get_current_context().call_on_close(place.close)
    return place


def repository_of(name: str) -> Repository:
    """The repository that a command line names, opened, whichever way it is kept."""
    passphrase = Passphrase(click.get_current_context())
    return open_repository(place_of(name), passphrase, must_be=ENCRYPTED if passphrase.is_given else None)


def point_lines(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Restore points, a line each; on a terminal that has no room for it several, broken between what they say."""
    width = line_width()
    lines = ("  ".join(_tied(fact, width) for fact in _facts(manifest)) for manifest in manifests)
    return (line.replace(_TIED, " ") for line in fitted(lines, width))


# Stands for a space at which no line is broken.
_TIED = "\0"


def _tied(fact: str, width: int | None) -> str:
    return fact.replace(" ", _TIED) if width is not None and len(fact) < width else fact


def _facts(manifest: Manifest) -> list[str]:
    facts = [
        manifest.name,
        f"{manifest.created:%Y-%m-%d %H:%M:%S}Z",
        f"disk of {size(manifest.size)}",
        f"layer {manifest.layer} of {safe(manifest.chain[-1].name)}",
    ]
    if manifest.lost:
        facts.append(f"{plural(len(manifest.lost), 'range')} LOST")
    return facts


def warn_of_damaged(names: Iterable[str]) -> None:
    """Warn of restore points whose manifest cannot be read."""
    for name in names:
        tell(f"warning: the manifest of {safe(name)} is damaged; `vhdx backup verify` lists the details")
