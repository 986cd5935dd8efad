"""Options of an image of evidence (E01), for the commands that write images."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from analyzer.convert.model import CaseData, Digests, E01Options, Options, OutputFormat
from cli.options.common import ByteSize

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_TOLD = ("case_number", "evidence_number", "examiner", "description", "notes")


def evidence_options(function: Decorated) -> Decorated:
    """What an E01 says about itself; `with_evidence` takes it from what the command gets."""
    options = (
        *(
            click.option(
                f"--{name.replace('_', '-')}", metavar="TEXT", help=f"Of an E01: its {name.replace('_', ' ')}."
            )
            for name in _TOLD
        ),
        click.option(
            "--segment-size", type=ByteSize(), help="Of the files of an E01: 4M to 2047M; 1500M if not given."
        ),
        click.option("--no-hash", is_flag=True, help="Of an E01: leave out MD5 and SHA-1 of the whole disk."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def with_evidence(options: Options, form: OutputFormat | None, choices: dict[str, Any]) -> Options:
    """The options with what an E01 is to say. With a seed it is acquired at no time: the same bytes each time."""
    given = [name for name in (*_TOLD, "segment_size", "no_hash") if choices[name]]
    if form is not OutputFormat.E01:
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} is for E01 outputs.")
        return options
    told = {name: choices[name] or "" for name in _TOLD}
    try:
        case = CaseData(**told, acquired=int(time.time()) if choices["seed"] is None else 0)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    digests = Digests.NONE if choices["no_hash"] else Digests.TAKEN
    return replace(options, e01=E01Options(case=case, digests=digests, segment_size=choices["segment_size"]))
