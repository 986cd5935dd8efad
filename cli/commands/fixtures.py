"""`vhdx fixtures`."""

from collections.abc import Sequence
from pathlib import Path

import click

import fixtures
from cli import output
from cli.options import FILE_PATH, json_option
from cli.text import safe
from cli.writing import existing_refused


@click.group("fixtures")
def command() -> None:
    """Known-good and known-bad images, for those who test what reads images.

    They are built by code that shares nothing with the reader. Each comes with a manifest.json that states the bytes
    it must read as, or the reason why it must be refused.
    """


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List what there is.

    \b
    Example:
      vhdx fixtures list
    """
    recipes = fixtures.RECIPES.values()
    if as_json:
        rows = [{"name": recipe.name, "verdict": recipe.verdict, "summary": recipe.summary} for recipe in recipes]
        output.emit("fixtures", {"fixtures": rows})
        return
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        click.echo(f"{recipe.name:<{width}}  {recipe.verdict.name.lower():<4}  {recipe.summary}")


@command.command("write")
@click.argument("names", nargs=-1, required=True)
@click.argument("folder", type=FILE_PATH)
def write_command(names: Sequence[str], folder: Path) -> None:
    """Write fixtures into FOLDER/NAME/; `all` for every one.

    \b
    Examples:
      vhdx fixtures write chain-3 orphan images/
      vhdx fixtures write all images/
    """
    wanted = list(fixtures.RECIPES) if "all" in names else names
    unknown = [name for name in wanted if name not in fixtures.RECIPES]
    if unknown:
        raise click.UsageError(f"there is no fixture {safe(unknown[0])!r}; `vhdx fixtures list` shows them.")
    for name in wanted:
        with existing_refused():
            click.echo(safe(fixtures.write(name, folder)))
