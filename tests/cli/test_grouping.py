"""Groups of options: a command gets one typed record for each."""

import json
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import output
from cli.main import vhdx
from cli.options.common import choice, grouped, json_option, option


def commands(group=vhdx):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_no_two_options_of_a_command_give_one_value_unless_they_are_its_choices(command):
    """A group takes what its own options give: the same name in two groups would be the last one's value in both."""
    alone = [param.name for param in command.params if not isinstance(getattr(param, "flag_value", None), str)]
    assert [name for name, count in Counter(alone).items() if count > 1] == []


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Paint:
    colour: Colour = option("Colour of the {what}.", default="red")
    coat: Colour = choice(Colour.BLUE, "Coat it in blue.", "--blue-coat")
    layers: int = 1


@click.command()
@grouped("paint", Paint, what="wall")
@click.option("--loud", is_flag=True)
def painted(paint, loud):
    click.echo(f"{paint.colour.name} {paint.coat.name} {paint.layers} {loud}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "RED RED 1 False"),
        (["--colour", "blue", "--blue-coat", "--loud"], "BLUE BLUE 1 True"),
    ],
)
def test_a_command_gets_its_group_as_one_record_of_members_and_defaults(arguments, said):
    assert CliRunner().invoke(painted, arguments).output == f"{said}\n"


def test_a_value_that_is_no_member_is_wrong_usage():
    answer = CliRunner().invoke(painted, ["--colour", "green"])
    assert answer.exit_code == 2
    assert "green" in answer.output


@dataclass(frozen=True, kw_only=True)
class Walls:
    dry_run: bool = option("Paint nothing.")
    plan: Path | None = option("Plan of the house.", metavar="FILE")
    rooms: tuple[Path, ...] = option("A room. Repeat for more.", "--room")
    coats: int | None = option("How many coats.", type=click.IntRange(min=1))
    house: str = ""


@click.command()
@grouped("walls", Walls)
@click.argument("house")
def measured(walls):
    click.echo(repr(walls))


@pytest.mark.parametrize(
    ("arguments", "walls"),
    [
        (["red"], Walls(dry_run=False, plan=None, rooms=(), coats=None, house="red")),
        (
            ["red", "--dry-run", "--plan", "p", "--room", "a", "--room", "b", "--coats", "2"],
            Walls(dry_run=True, plan=Path("p"), rooms=(Path("a"), Path("b")), coats=2, house="red"),
        ),
    ],
)
def test_an_options_flag_and_type_follow_from_its_field(arguments, walls):
    assert CliRunner().invoke(measured, arguments).output == f"{walls!r}\n"


@click.command()
@json_option
def answering():
    output.answer("paint", {"coats": 2}, ["two coats"])


def test_an_answer_is_what_the_commands_own_options_ask_for():
    assert CliRunner().invoke(answering, []).output == "two coats\n"
    assert json.loads(CliRunner().invoke(answering, ["--json"]).output)["coats"] == 2
