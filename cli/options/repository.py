"""What the commands of `vhdx backup` share: how a repository is named and opened, and how points are shown."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import click

from analyzer.backup.lock_owner import Hold
from analyzer.backup.locks import Lock, LockedError, take
from analyzer.backup.pick import pick_point
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.names import normalised
from analyzer.backup.repository.repository import ENCRYPTED, Repository, open_repository
from analyzer.backup.storage.open import place_of as place_named
from analyzer.backup.storage.pace import Pace
from analyzer.backup.storage.remote_folder import Place
from cli.options.common import BYTE_SIZE, DURATION, Declared, Decorated, kept_option, option
from cli.options.passphrase import Passphrase, passphrase_options
from cli.text import fitted, line_width, moment, plural, safe, say, size

_LONGEST_TAG = 100
_WAIT, _RATE = "--wait", "--limit-rate"
# Bytes a second: with less a chunk takes longer than anybody waits for Ctrl-C.
_LEAST_RATE = 16 << 10


def repository_argument(function: Decorated) -> Decorated:
    """REPOSITORY, a folder or URL, as `repository`; and where its passphrase comes from, for `Passphrase`."""
    return click.argument("repository")(passphrase_options()(function))


def place_of(name: str) -> Place:
    """The place that a command line names, a folder or URL; it is closed when the command ends."""
    place = place_named(name)
    click.get_current_context().call_on_close(place.close)
    return place


def repository_of(name: str, kind: str = "") -> Repository:
    """The repository that a command line names, opened, whichever way it is kept; `kind` is of its passphrase."""
    passphrase = Passphrase(click.get_current_context(), kind)
    kept = open_repository(place_of(name), passphrase, must_be=ENCRYPTED if passphrase.is_given else None)
    rate = click.get_current_context().meta.get(_RATE)
    if rate is not None and rate < _LEAST_RATE:
        raise click.UsageError(f"{_RATE} {rate} is too slow: give {_LEAST_RATE >> 10}K or more.")
    return replace(kept, paced=Pace(rate)) if rate else kept


rate_option = kept_option(
    _RATE,
    type=BYTE_SIZE,
    metavar="SIZE",
    help="Send and fetch at most so many bytes a second of chunks: 500K, 10M.",
)
"""`--limit-rate`, for `repository_of`."""


def has_rate() -> bool:
    """Whether the rate is limited, which one process alone can see to."""
    return click.get_current_context().meta.get(_RATE) is not None


wait_option = kept_option(
    _WAIT, type=DURATION, metavar="TIME", help="Wait so long for other runs in the repository to end: 90s, 10m, 2h."
)
"""`--wait`, for `lock_of`."""


def lock_of(kept: Repository, hold: Hold, command: str) -> Lock:
    """The lock that a command needs; where it has to wait for another run, that is said once on stderr."""
    told = list[LockedError]()

    def say_once(error: LockedError) -> None:
        if not told:
            say(f"waiting for {error.holder}")
        told.append(error)

    patience = click.get_current_context().meta.get(_WAIT) or 0.0
    return take(kept.place, hold, command, patience=patience, waiting=say_once)


def point_named(kept: Repository, text: str) -> str:
    """The name of the restore point that a command line means; where it is not given in full, it is said on stderr."""
    name = pick_point(kept, text)
    if name != normalised(text):
        say(f"{safe(text)} is {name}")
    return name


def _require_tags(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for tag in given:
        if not tag.isprintable() or not 0 < len(tag) <= _LONGEST_TAG or "," in tag or tag != tag.strip():
            raise click.BadParameter(f"{safe(repr(tag))} is no tag: up to {_LONGEST_TAG} characters, and no comma")
    return tuple(dict.fromkeys(map(normalised, given)))


def tag_option(text: str, flag: str = "--tag") -> Declared:
    """A field for tags: an option that may be repeated."""
    return option(f"{text} Repeat for more.", flag, metavar="TAG", multiple=True, callback=_require_tags)


def point_lines(manifests: Iterable[Manifest]) -> Iterator[str]:
    """Restore points, a line each; on a terminal that has no room for it several, broken between what they say."""
    width = line_width()

    def tied(fact: str) -> str:
        return fact.replace(" ", _TIED) if width is not None and len(fact) < width else fact

    shown = list(manifests)
    # Files of one name in several folders, which machines have that were made alike, are told apart by their paths.
    places = Counter(name for name, _ in {(one.chain[-1].name, one.chain[-1].path) for one in shown})
    lines = ("  ".join(map(tied, _facts(one, has_twin=places[one.chain[-1].name] > 1))) for one in shown)
    return (line.replace(_TIED, " ") for line in fitted(lines, width))


# For a space at which no line is broken.
_TIED = "\0"


def _facts(manifest: Manifest, *, has_twin: bool) -> list[str]:
    newest = manifest.chain[-1]
    layer = f"layer {manifest.layer} of {safe(newest.path if has_twin else newest.name)}"
    lost = [f"{losses(len(manifest.lost), manifest.lost_bytes)} LOST"] if manifest.lost else []
    tags = [f"[{safe(', '.join(manifest.tags))}]"] if manifest.tags else []
    return [manifest.name, moment(manifest.created), f"disk of {size(manifest.size)}", layer, *tags, *lost]


def losses(ranges: int, bytes_: int) -> str:
    """How much of a disk is lost, in words."""
    return f"{size(bytes_)} in {plural(ranges, 'range')}"


def loss(point: str, ranges: int, bytes_: int) -> str:
    """What is to be said of a restore point of a disk of which ranges were lost."""
    held = f"{safe(point)}: {losses(ranges, bytes_)} of its disk were LOST when it was made"
    return f"{held}: zeros where it is restored, with a map of them"


def warn_of_damaged(names: Iterable[str]) -> None:
    """Warn of restore points whose manifest cannot be read."""
    for name in names:
        say(f"warning: the manifest of {safe(name)} is damaged; `vhdx backup verify` lists the details")
