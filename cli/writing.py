"""What the commands that write an image share: their options, and what they say when it is written."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from analyzer.convert import Options, Outcome, Verify
from cli import output
from cli.text import plural, safe, size
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def output_options(function: Decorated) -> Decorated:
    """How an image is written; `options_from` turns what the command gets into Options."""
    options = (
        click.option("--force", is_flag=True, help="Replace OUT if it exists."),
        click.option("--no-verify", is_flag=True, help="Do not read the output back before it gets its name."),
        click.option(
            "--seed", metavar="TEXT", help="Draw the new GUIDs from TEXT: the same input gives the same bytes."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def options_from(choices: dict[str, Any]) -> Options:
    """The options that a command line chose."""
    seed = choices["seed"]
    return Options(
        block_size=choices.get("block_size"),
        identities=random_identities if seed is None else seeded_identities(seed),
        existing=Existing.REPLACE if choices["force"] else Existing.REFUSE,
        verify=Verify.TRUST if choices["no_verify"] else Verify.READ_BACK,
    )


def report(command: str, outcome: Outcome, *, as_json: bool) -> None:
    """Say what was written."""
    if as_json:
        output.emit(command, {"output": outcome}, outcome.findings)
        return
    checked = "read back and right" if outcome.verified else "not read back"
    click.echo(
        f"{safe(outcome.target)}: {outcome.format.value}, disk of {size(outcome.size)} from "
        f"{plural(outcome.layers, 'layer')}, file of {size(outcome.file_size)}, {checked}"
    )
