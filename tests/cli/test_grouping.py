"""Groups of options: a command gets one typed record for each."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

import click
import pytest
from click.testing import CliRunner

from cli.main import vhdx
from cli.options.common import choice, grouped, option


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
