"""Commands that are really killed in the midst of their writing."""

import os
import signal

from cli.errors import run
from cli.main import vhdx as main_command
from vhdx.in_place import EditedFile

STEPS = "write_at", "set_size", "flush", "zero", "release"


def killed_after(steps, words, prepare=lambda: None):
    """The exit code of a command in a process that ends itself, as `kill -9` does, before that step of its writing."""
    process = os.fork()
    if process == 0:
        done = [0]

        def counted(real):
            def step(*arguments):
                done[0] += 1
                if done[0] > steps:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments)

            return step

        for name in STEPS:
            setattr(EditedFile, name, counted(getattr(EditedFile, name)))
        prepare()
        os._exit(run(main_command, words))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run_with_kills(words, chance, look, prepare=lambda: None):
    """Kill a command, each time some steps later than before, until one is done; returns how often it was killed.

    `look` is called after each kill.
    """
    steps = kills = 0
    while True:
        steps += chance.randint(1, 12)
        code = killed_after(steps, words, prepare)
        assert code in {0, -signal.SIGKILL}
        if code == 0:
            return kills
        kills += 1
        look()
