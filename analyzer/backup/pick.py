"""Which restore point a text means: its name, the beginning of it, or the newest one, of all or of one disk."""

from analyzer.backup.errors import BackupError, NoSuchPointError
from analyzer.backup.lineage import lineages
from analyzer.backup.repository.manifest import Manifest
from analyzer.backup.repository.names import LATEST, normalised
from analyzer.backup.repository.repository import Repository
from analyzer.text import listed, plural


class AmbiguousPointError(BackupError):
    """A text may mean several restore points, or the newest ones of several disks."""

    exit_code = 2
    text_given: str
    found: tuple[str, ...]

    def __str__(self) -> str:
        points = f"{plural(len(self.found), 'restore point')} ({listed(self.found)})"
        return f"{self.text_given!r} may mean {points}; give more of the name"


def pick_point(repository: Repository, text: str) -> str:
    """The name of the point that is meant; raises NoSuchPointError, AmbiguousPointError.

    `latest` is the newest of all, and `latest:FILE` the newest of the disk whose file is called so, with or without
    its suffix. Of a run that made several it is that of the newest layer.
    """
    name, names = normalised(text), repository.names()
    if name in names:
        return name
    kind, _, file = name.partition(":")
    if kind == LATEST:
        return _newest(repository, text, file)
    found = tuple(known for known in names if name and known.startswith(name))
    if len(found) > 1:
        raise AmbiguousPointError(text, found)
    if not found:
        raise NoSuchPointError(repository.place.url, text)
    return found[0]


def _newest(repository: Repository, text: str, file: str) -> str:
    manifests = repository.survey()[0]
    of = lineages(manifests)
    wanted = [one for one in manifests if not file or file in {of[one.name].name, one.chain[-1].name}]
    newest = dict[object, Manifest]()
    for one in wanted:  # oldest first, and of one time the lowest layer
        newest[of[one.name] if file else None] = one
    if not newest:
        raise NoSuchPointError(repository.place.url, text)
    if len(newest) > 1:
        raise AmbiguousPointError(text, tuple(one.name for one in newest.values()))
    return next(iter(newest.values())).name
