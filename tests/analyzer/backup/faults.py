"""A place in memory with a clock of its own, and one that dies at a chosen change."""

from enum import Enum, auto

from analyzer.backup.errors import MissingObjectError, PlaceError
from analyzer.backup.storage.storage import Entry


class MemoryPlace:
    """A dictionary. Time passes when a test says so, and a little with every change."""

    url = "memory"

    def __init__(self, objects=(), clock=1_000_000_000.0):
        self.objects, self.clock = dict(objects), clock

    def copy(self):
        return MemoryPlace(self.objects, self.clock)

    def read(self, name):
        try:
            return self.objects[name][0]
        except KeyError:
            raise MissingObjectError(self.url, name) from None

    def size(self, name):
        return len(self.objects[name][0]) if name in self.objects else None

    def list(self, folder):
        return iter(
            [
                Entry(name, len(data), modified)
                for name, (data, modified) in self.objects.items()
                if not folder or name.startswith(f"{folder}/")
            ]
        )

    def unfinished(self):
        return iter(())

    def write(self, name, data):
        self.clock += 0.001  # no two changes are of one time
        self.objects[name] = bytes(data), self.clock

    def create(self, name, data):
        if name in self.objects:
            return False
        self.write(name, data)
        return True

    def delete(self, name):
        self.objects.pop(name, None)


class Death(BaseException):
    """What a process feels of `kill -9`: nothing runs any more, no handler, no clean-up at the place."""


class When(Enum):
    """When, seen from the change that is counted."""

    BEFORE = auto()
    AFTER = auto()
    """It happened, and nobody was told."""


class Meddled:
    """A place over another one; before its call number `at`, something else happens there."""

    def __init__(self, place, at=None, meddle=None):
        self._place, self._at, self._meddle, self.calls = place, at, meddle, 0

    url = property(lambda self: self._place.url)

    def __getattr__(self, name):
        if self.calls == self._at:
            self._at = None
            self._meddle()
        self.calls += 1
        return getattr(self._place, name)


class Mortal:
    """A place over another one."""

    def __init__(self, place, at=None, when=When.BEFORE, error=Death):
        self._place, self._at, self._when, self._error = place, at, when, error
        self.changes, self.dead = 0, False

    url = property(lambda self: self._place.url)

    def read(self, name):
        self._live()
        return self._place.read(name)

    def size(self, name):
        self._live()
        return self._place.size(name)

    def list(self, folder):
        self._live()
        return self._place.list(folder)

    def unfinished(self):
        self._live()
        return self._place.unfinished()

    def write(self, name, data):
        self._change(lambda: self._place.write(name, data))

    def create(self, name, data):
        return self._change(lambda: self._place.create(name, data))

    def delete(self, name):
        self._change(lambda: self._place.delete(name))

    def _change(self, action):
        self._live()
        self.changes += 1
        hit = self.changes - 1 == self._at
        if hit and self._when is When.BEFORE:
            self._die()
        result = action()
        if hit:
            self._die()
        return result

    def _live(self):
        if self.dead:
            raise Death

    def _die(self):
        if self._error is Death:
            self.dead = True
            raise Death
        raise PlaceError(self.url, "cannot write it: no space left on device")
