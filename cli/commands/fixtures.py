"""`vhdx fixtures`."""

from collections.abc import Sequence
from pathlib import Path

import click

import fixtures
from cli import output
from cli.options.common import FILE_PATH, json_option
from cli.options.output import existing_refused
from cli.text import safe
from fixtures.damage import DAMAGES, write_damaged

DAMAGE = "damage:"


@click.group("fixtures")
def command() -> None:
    """Write known-good and known-bad images, to test programs that read images.

    They are built by code that shares nothing with the reader. Each comes with a manifest.json that states the bytes
    it must read as, or the reason why it must be refused. Damaged ones, `damage:NAME`, are healthy images with one
    change, and their manifest states the findings that a check must report.
    """


@command.command("list")
@click.option("--damaged", is_flag=True, help="List the damaged fixtures instead, each with its findings.")
@json_option
def list_command(damaged: bool, as_json: bool) -> None:
    """List the fixtures.

    \b
    Examples:
      vhdx fixtures list
      vhdx fixtures list --damaged
    """
    if damaged:
        _list_damages(as_json)
        return
    recipes = fixtures.RECIPES.values()
    if as_json:
        rows = [{"name": recipe.name, "verdict": recipe.verdict, "summary": recipe.summary} for recipe in recipes]
        output.emit("fixtures", {"fixtures": rows})
        return
    width = max(len(recipe.name) for recipe in recipes)
    for recipe in recipes:
        click.echo(f"{recipe.name:<{width}}  {recipe.verdict.name.lower():<4}  {recipe.summary}")


def _list_damages(as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": f"{DAMAGE}{damage.name}",
                "recipe": damage.recipe,
                "code": damage.code,
                "findings": sorted(damage.codes),
                "reach": damage.reach,
                "summary": damage.summary,
            }
            for damage in DAMAGES.values()
        ]
        output.emit("fixtures", {"fixtures": [], "damages": rows})
        return
    width = max(map(len, DAMAGES))
    for damage in DAMAGES.values():
        others = "".join(f" {code}" for code in sorted(damage.also))
        click.echo(f"{DAMAGE}{damage.name:<{width}}  {damage.code}{others}")


@command.command("write")
@click.argument("names", nargs=-1, required=True)
@click.argument("folder", type=FILE_PATH)
def write_command(names: Sequence[str], folder: Path) -> None:
    """Write fixtures into FOLDER/NAME/; `all` for every one, `damage:all` for every damaged one.

    \b
    Examples:
      vhdx fixtures write chain-3 orphan images/
      vhdx fixtures write damage:two-blocks-in-one-place images/
      vhdx fixtures write all images/
    """
    everything = {"all": list(fixtures.RECIPES), f"{DAMAGE}all": [f"{DAMAGE}{name}" for name in DAMAGES]}
    wanted = [one for name in names for one in everything.get(name, [name])]
    unknown = [name for name in wanted if name not in fixtures.RECIPES and _damage_name(name) not in DAMAGES]
    if unknown:
        raise click.UsageError(f"there is no fixture {safe(unknown[0])!r}; `vhdx fixtures list` shows them.")
    for name in dict.fromkeys(wanted):
        with existing_refused():
            click.echo(safe(_write(name, folder)))


def _damage_name(name: str) -> str:
    """The damage that a fixture's name means; "" for another fixture's."""
    return name.removeprefix(DAMAGE) if name.startswith(DAMAGE) else ""


def _write(name: str, folder: Path) -> Path:
    damage = DAMAGES.get(_damage_name(name))
    return fixtures.write(name, folder) if damage is None else write_damaged(damage, folder)
