"""A command's work for each of several inputs, done here or in other processes, and told in the order of the inputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from analyzer.tasks.engine import Engine, Here, Lost
from cli import output
from cli.errors import USAGE, complain
from cli.loudness import BARE
from cli.options.passphrase import KNOWN
from cli.progress import counter
from cli.text import Told, safe, say_always, told_later
from vhdx.errors import VhdxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command has to say of one input. All of it can be pickled."""

    plain: dict[str, Any] | None
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

OnError = Callable[[VhdxError], Answer]
"""The answer where an input cannot be done; raises the error where it is about all of them."""


def answer_of(run: Callable[[Named], int], name: Named) -> Answer:
    """What a command says of one input, from running it for that alone; `run` gives its exit code."""
    with output.answers_kept() as given:
        code = run(name)
    plain: dict[str, Any] = {"path": name}
    lines = list[str]()
    for one in given:
        plain |= {**one.payload, "findings": one.findings}
        lines += one.lines
    return Answer(plain=plain, lines=lines, code=code)


def tell_each(
    command: str,
    inputs: Sequence[Named],
    answers: Iterator[Answer],
    emit: Callable[[Sequence[str]], None] = output.emit_sentences,
) -> int:
    """Print the answers as they come, or all as JSON; returns the exit code, that of the first that has one."""
    told = list[Answer]()
    for answer in answers:
        told.append(answer)
        if not output.is_json():
            emit(answer.lines)
    if output.is_json():
        files = [{**(one.plain or {"path": name}), "error": one.error} for name, one in zip(inputs, told, strict=True)]
        output.emit(command, {"files": files}, [finding for file in files for finding in file.get("findings", ())])
    return next((answer.code for answer in told if answer.code), 0)


def failed(error: VhdxError) -> Answer:
    """The answer of an input that could not be done, which is said at once."""
    return Answer(plain=None, code=complain(error), error=output.error_to_plain(error))


def for_each(
    work: Work[Named], inputs: Sequence[Named], engine: Engine, doing: str, on_error: OnError = failed
) -> Iterator[Answer]:
    """The answer for each input, in their order, what is to be said of it on stderr said before it is given.

    One that fails does not end the others. This process shows bytes, as it does for a single input; where others work,
    the inputs are counted. `work` and `on_error` can be pickled.
    """
    here = isinstance(engine, Here)
    batch = partial(_here if here else partial(_apart, _options(engine)), work, on_error)
    with ExitStack() as shown:
        ticks = [] if here else [shown.enter_context(counter(doing, len(inputs)))]
        for name, found in zip(inputs, engine.run(batch, inputs, 1, *ticks), strict=True):
            answer = on_error(found.error(Path(name))) if isinstance(found, Lost) else found
            for told in answer.told:
                told.say()
            yield answer


def _options(engine: Engine) -> dict[str, Any]:
    """What a command's context says to another process: its options; the passphrase, if it stays on this machine."""
    meta, known = click.get_current_context().meta, set() if engine.is_elsewhere else {KNOWN}
    return {name: value for name, value in meta.items() if name.startswith("-") or name in known} | {BARE: True}


def _here(work: Work[Named], on_error: OnError, names: Sequence[Named]) -> list[Answer]:
    return [_answer(work, on_error, name) for name in names]


def _apart(options: Mapping[str, Any], work: Work[Named], on_error: OnError, names: Sequence[Named]) -> list[Answer]:
    """The answers, for another process to say, as if this one had been started with these options."""
    answers = []
    for name in names:
        with click.Context(click.Command(None)) as context, told_later() as told:
            context.meta.update(options)
            try:
                answer = _answer(work, on_error, name)
            except click.ClickException as error:  # of this input, and of a class that holds the whole context
                say_always(f"error: {safe(error.format_message())}")
                message = {"type": "UsageError", "message": error.format_message(), "exit_code": USAGE}
                answer = Answer(plain=None, code=USAGE, error=message)
        answers.append(replace(answer, told=tuple(told)))
    return answers


def _answer(work: Work[Named], on_error: OnError, name: Named) -> Answer:
    try:
        return work(name)
    except VhdxError as error:
        return on_error(error)
