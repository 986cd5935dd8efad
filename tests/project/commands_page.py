"""docs/commands.md, made from the commands themselves: their arguments, options, JSON and exit codes.

`python -m tests.project.commands_page > docs/commands.md`, which `make docs` runs.
"""

import json
from collections.abc import Iterator

import click

from cli.main import EXIT_CODES, vhdx
from tests.support.files import ROOT

SCHEMA = json.loads((ROOT / "docs/schema/vhdx-1.json").read_text())["$defs"]
_MOST_OF_A_ROW = 8
_EVERY_ANSWER = {"schema", "tool", "command", "findings"}
_HEAD = """# Commands

Made from the commands themselves; `--help` behind a command explains each option. All commands take `-q`, `-v`,
`--no-progress`, `--progress`, `--log FILE` and `-h`. LEAF may be `LEAF@N`, the state of layer N of its chain.
"""


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, with their whole names."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{each} ")
        elif command is not None:
            yield f"{name}{each}", command


def options_of(command: click.Command) -> list[str]:
    """The options that the help shows, the long name of each."""
    shown = (each for each in command.params if isinstance(each, click.Option) and not each.hidden)
    return sorted({max(each.opts, key=len) for each in shown})


def members_of(name: str) -> list[str]:
    """The members of the JSON answers, by the schema, but for those that all answers have."""
    answers = [one for key, one in SCHEMA.items() if key.startswith("answer_")]
    named = name.removesuffix(" list") if name.startswith("fixtures") else name
    own = [one for one in answers if one["properties"].get("command", {}).get("const") == named]
    return sorted({member for answer in own for member in answer["properties"]} - _EVERY_ANSWER)


def rows_of(option: str, names: list[str], everything: list[str]) -> Iterator[str]:
    """Rows of a table, short enough to be read; an option that most commands have is said by those that do not."""
    if len(names) > len(everything) * 0.7:
        others = [name for name in everything if name not in names]
        yield f"| `{option}` | all but {', '.join(map(_code, others))} |"
        return
    for first in range(0, len(names), _MOST_OF_A_ROW):
        shown = ", ".join(map(_code, names[first : first + _MOST_OF_A_ROW]))
        yield f"| {_code(option) if first == 0 else ''} | {shown} |"


def page() -> str:
    """The whole page."""
    rows, homes = [], dict[str, list[str]]()
    for name, command in commands(vhdx):
        for one in options_of(command):
            homes.setdefault(one, []).append(name)
        arguments = [each.make_metavar(click.Context(command)) for each in command.params
                     if isinstance(each, click.Argument)]  # fmt: skip
        usage = " ".join(arguments).replace("|", "\\|")
        rows.append(f"| `{name}` | {f'`{usage}`' if usage else ''} | {', '.join(map(_code, members_of(name)))} |")
    everything = [name for name, _ in commands(vhdx)]
    lists = [row for option, names in sorted(homes.items()) for row in rows_of(option, names, everything)]
    codes = [line.split(None, 1) for line in EXIT_CODES.splitlines()[2:]]
    return "\n".join([
        _HEAD,
        "## Arguments and JSON", "", "| command | arguments | members of its JSON |", "|---|---|---|", *rows, "",
        "## Options", "", "| option | commands |", "|---|---|", *lists, "",
        "## Exit codes", "", "| code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in codes), "",
    ])  # fmt: skip


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    click.echo(page(), nl=False)
