"""A command's work for each of several inputs, done here or in other processes, and told in the order of the inputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from analyzer.tasks.engine import Engine, Here, Lost, WorkerLostError
from cli import output
from cli.errors import complain
from cli.loudness import BARE
from cli.progress import counter
from cli.text import Told, told_later
from vhdx.errors import VhdxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command has to say of one input. All of it can be pickled."""

    plain: Mapping[str, Any] | None
    """Members for JSON; None where there is an error instead."""
    lines: Sequence[str] = ()
    """For stdout, where no JSON is asked for."""
    code: int = 0
    error: Mapping[str, Any] | None = None
    told: Sequence[Told] = ()
    """For stderr, where it was not said by the process that did the work."""


Named = TypeVar("Named", Path, str)
"""What names an input: the path of a file, or the address of a disk."""
Work = Callable[[Named], Answer]
"""What a command does for one input; raises VhdxError, which becomes that input's answer."""


def for_each(work: Work[Named], inputs: Sequence[Named], engine: Engine, doing: str) -> Iterator[Answer]:
    """The answer for each input, in their order, what is to be said of it on stderr said before it is given.

    One that fails does not end the others. This process shows bytes, as it does for a single input; where others work,
    the inputs are counted.
    """
    here = isinstance(engine, Here)
    ours = {name: value for name, value in click.get_current_context().meta.items() if name.startswith("-")}
    batch = partial(_here, work) if here else partial(_apart, work, ours | {BARE: True})
    with ExitStack() as shown:
        ticks = [] if here else [shown.enter_context(counter(doing, len(inputs)))]
        for path, found in zip(inputs, engine.run(batch, inputs, 1, *ticks), strict=True):
            answer = _failed(WorkerLostError(Path(path), found.reason)) if isinstance(found, Lost) else found
            for told in answer.told:
                told.say()
            yield answer


def _here(work: Work[Named], paths: Sequence[Named]) -> list[Answer]:
    return [_answer(work, path) for path in paths]


def _apart(work: Work[Named], options: Mapping[str, Any], paths: Sequence[Named]) -> list[Answer]:
    """The answers, for another process to say, as if this one had been started with these options."""
    answers = []
    with click.Context(click.Command(None)) as context:
        context.meta.update(options)
        for path in paths:
            with told_later() as told:
                answer = _answer(work, path)
            answers.append(replace(answer, told=tuple(told)))
    return answers


def _answer(work: Work[Named], path: Named) -> Answer:
    try:
        return work(path)
    except VhdxError as error:
        return _failed(error)


def _failed(error: VhdxError) -> Answer:
    return Answer(plain=None, code=complain(error), error=output.error_to_plain(error))
