"""A server in this process, for the time of a test."""

import contextlib
import threading

import pytest

import fixtures
import vhdx
from analyzer.serve.export import Export
from analyzer.serve.listening import door_at_port
from analyzer.serve.server import Server, Until
from tests.support.catalogue import fixture_of
from tests.support.effort import SAFETY


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory):
    fixture, folder = fixture_of("demo"), tmp_path_factory.mktemp("demo")
    fixtures.write_files(fixture, folder)
    return folder / fixture.leaf, [fixture.models[name] for name in fixture.chain[::-1]]


@pytest.fixture
def demo(demo_files):
    """A chain of three layers, opened, and the model of each layer's state; its files are everybody's."""
    leaf, models = demo_files
    with vhdx.open_chain(leaf) as disk:
        yield disk, models


class Running:
    """A server that runs, and what it said."""

    def __init__(self, exports, limits, door=None):
        self.said, self._stop, self._started = [], None, threading.Event()
        self.door = door or door_at_port("127.0.0.1", 0)
        self.address = self.door.address
        self._server = Server(
            self.door.listener, {export.name: export for export in exports}, say=self.said.append, limits=limits
        )
        self._thread = threading.Thread(target=self._server.run, args=(Until.STOPPED, self._note), daemon=True)

    def _note(self, stop):
        self._stop = stop
        self._started.set()

    def start(self):
        self._thread.start()
        assert self._started.wait(SAFETY)
        return self

    def end(self):
        self._stop()
        self._thread.join(SAFETY)
        assert not self._thread.is_alive()
        self.door.close()


@pytest.fixture
def served():
    """Serves disks, by name, or exports, until the test ends."""
    with contextlib.ExitStack() as stack:

        def serve(*exports, limits=None, **disks):
            named = [Export(name, disk, "disk.vhdx") for name, disk in disks.items()]
            running = Running([*exports, *named], limits).start()
            stack.callback(running.end)
            return running

        yield serve
