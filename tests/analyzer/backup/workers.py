"""Processes that do what `vhdx backup` does and can be killed: forked from one that has loaded everything."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.files import ROOT


class Workers:
    """Starts jobs by name; each gets a process of its own."""

    def __init__(self):
        self._mother = subprocess.Popen(
            [sys.executable, "-c", "from tests.analyzer.backup.workers import mother; mother()"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._mother.stdin.close()
        self._mother.stdout.close()
        self._mother.wait(30)

    def start(self, *words):
        """The process id of a job that has just begun."""
        self._mother.stdin.write("\t".join(map(str, words)) + "\n")
        return int(self._mother.stdout.readline())

    def wait(self, pid):
        """The exit code of a job that has ended or will; 256 + the signal of one that was killed."""
        self._mother.stdin.write(f"wait\t{pid}\n")
        return int(self._mother.stdout.readline())

    def run(self, *words):
        return self.wait(self.start(*words))

    def kill_after(self, seconds, *words):
        """Start a job and kill it; gives what `wait` gives."""
        pid = self.start(*words)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.wait(pid)


def mother():
    """Read jobs, fork for each; one thread, so that forking is safe."""
    from tests.analyzer.backup import jobs  # noqa: F401 - loaded before the first fork

    for line in sys.stdin:
        words = line.rstrip("\n").split("\t")
        if words[0] == "wait":
            status = os.waitpid(int(words[1]), 0)[1]
            answer = 256 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        else:
            answer = os.fork()
            if not answer:
                _child(words)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _child(words):
    os.setpgid(0, 0)
    code = 1
    try:
        code = _work(*words)
    finally:
        os._exit(code)


def _work(job, folder, *arguments):
    """0 when it was done, 3 when somebody else's lock was in the way, 2 for any other error of the library."""
    from analyzer.backup.locks import LockedError
    from analyzer.backup.storage.local import LocalPlace
    from tests.analyzer.backup import jobs
    from vhdx import VhdxError

    try:
        getattr(jobs, job)(jobs.plain(LocalPlace(Path(folder))), *arguments)
    except LockedError:
        return 3
    except VhdxError as error:
        sys.stderr.write(f"{job}: {error}\n")
        return 2
    return 0
