"""Processes that read file systems, forked off one that has loaded what they need.

A new interpreter and its imports take 0.2 s of the processor for each disk, and hundreds of tests look for files on
some. Each reader is a process of its own here too, has the same limits, and talks over the same connection; how the
product starts one is for tests/analyzer/guest/filesystems/test_reader_process.py.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing.connection import Connection

from analyzer.guest.filesystems import reader_process
from tests.support.files import ROOT

start_as_the_product_does = reader_process._start
_THEIR_PROGRAM = reader_process._PROGRAM
_NUMBER = struct.Struct("<q")
_PROGRAM = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tests.support.readers import serve
serve(int(sys.argv[2]))
"""


class ForkedReader:
    """What `reader_process` uses of a Popen."""

    def __init__(self, status):
        self._status, self.returncode = status, None
        self.pid = self._told()

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("reader", timeout)
            self.returncode = self._told()
            self._status.close()
        return self.returncode

    def kill(self):
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _told(self):
        return _NUMBER.unpack(self._status.recv(_NUMBER.size, socket.MSG_WAITALL))[0]


class Readers:
    """Starts readers in place of `reader_process._start`; the process that they come from starts with the first."""

    def __init__(self):
        self._process = self._connection = None
        self._lock = threading.Lock()

    def start(self, theirs, disk):
        """A reader with its end of the connection; as the product does it where a test has put in another program."""
        if reader_process._PROGRAM != _THEIR_PROGRAM:
            return start_as_the_product_does(theirs, disk)
        with self._lock:
            if self._process is None:
                self._begin()
        ours, status = socket.socketpair()
        with theirs, status:
            numbers = _NUMBER.pack(disk.size) + _NUMBER.pack(disk.sector_size)
            socket.send_fds(self._connection, [numbers], [theirs.fileno(), status.fileno()])
            return ForkedReader(ours)

    def end(self):
        """End the process, which may have to be made to; readers end with their disks."""
        if self._process:
            self._connection.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _begin(self):
        self._connection, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        arguments = [sys.executable, "-P", "-S", "-c", _PROGRAM, json.dumps([str(ROOT), *filter(None, sys.path)])]
        null = subprocess.DEVNULL
        with theirs:
            self._process = subprocess.Popen(
                [*arguments, str(theirs.fileno())], stdin=null, stdout=null, stderr=null, start_new_session=True,
                pass_fds=(theirs.fileno(),), env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip


def serve(handle):
    """Fork off a reader for each connection that comes, until nobody is there who could send one."""
    import pytsk3  # noqa: F401 - for all readers

    from analyzer.guest.filesystems import worker

    with socket.socket(fileno=handle) as requests:
        while numbers := (request := socket.recv_fds(requests, 2 * _NUMBER.size, 2))[0]:
            if os.fork() == 0:
                _supervise(worker.main, numbers, *request[1])
            for inherited in request[1]:
                os.close(inherited)
            _bury()
    _bury()


def _bury():
    """Wait for those that have ended, so that what they took of the processor is counted as the tests'.

    Not for the others: whoever still holds a disk holds its reader until the tests' process ends.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _supervise(main, numbers, connection, status):
    """Fork off the reader, tell its number, wait for its end, and tell how it ended."""
    number = os.fork()
    if number == 0:
        os.close(status)
        os.setsid()
        try:
            main(Connection(connection), *(value for (value,) in _NUMBER.iter_unpack(numbers)))
        except BaseException:  # noqa: BLE001 - a new interpreter would end so
            os._exit(1)
        os._exit(0)
    os.close(connection)
    os.write(status, _NUMBER.pack(number))
    with contextlib.suppress(OSError):
        os.write(status, _NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])))
    os._exit(0)
