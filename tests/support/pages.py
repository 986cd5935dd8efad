"""The pages of the documentation: their fenced blocks, the commands in them, and what those commands may be."""

import re
import shlex
from typing import NamedTuple

import click

from cli.main import vhdx
from tests.support.files import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN, SHOWN = {"sh", "console", "powershell", "python"}, {"", "text", "json", "yaml", "toml", "mermaid"}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(vhdx [^`]+)`")
_OPERATORS = re.compile(r"(?<!\\)[|<>&;]|\$\(")
_SCRIPTS = re.compile(r"(?:& )?\S+[\\/](?=(?:vhdx|pip) )")
"""Where a virtual environment has its programs, in the shells of all systems."""


class Block(NamedTuple):
    """A fenced block: its page, the number of its first line there, its language, and what is in it."""

    page: str
    line: int
    language: str
    text: str


class Command(NamedTuple):
    """A command that a page shows, as a reader would paste it."""

    page: str
    line: int
    text: str

    @property
    def words(self):
        """The words, comments left out, as a shell splits them."""
        return shlex.split(_SCRIPTS.sub("", self.text), comments=True)

    @property
    def is_ours_alone(self):
        """Whether it is one call of vhdx, without a pipe or a redirection."""
        plain = re.sub(r"'[^']*'|\"[^\"]*\"|\s#.*$", "", self.text)
        return self.words[:1] == ["vhdx"] and not _OPERATORS.search(plain)

    @property
    def calls(self):
        """The arguments of each call of vhdx in it."""
        parts = re.split(r"\||&&|>>?|;", _SCRIPTS.sub("", re.sub(r"\s#.*$", "", self.text)))
        return [words[1:] for words in map(_split, parts) if words[:1] == ["vhdx"]]


def _split(text):
    """The words of a part of a command; of a part that was cut within quotes, none."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def blocks(page):
    """The fenced blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        indent, language, content = found.groups()
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        yield Block(page, text.count("\n", 0, found.start(3)) + 1, language, "\n".join(lines) + "\n")


def commands(block):
    """The commands of a block; of one that shows a console those behind a prompt, without what they print."""
    text, first = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        if not text:
            first = number
            shown = block.language != "console" or line.startswith("$ ")
        text += line.removeprefix("$ ") if shown else ""
        if text.endswith("\\"):
            text = text[:-1]
            continue
        if text.strip() and not text.startswith("#"):
            yield Command(block.page, first, text)
        text = ""


def inline_commands(page):
    """The calls of vhdx that stand within sentences."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _INLINE.finditer(_FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)):
        yield Command(page, text.count("\n", 0, found.start()) + 1, " ".join(found[1].split()))


def parse(arguments):
    """Read the arguments of vhdx as the program does, as far as that needs no file; a UsageError when it cannot."""
    command, context = vhdx, click.Context(vhdx, info_name="vhdx")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name}")
        command, context = found, click.Context(found, parent=context, info_name=name)
    try:
        values, left, _ = command.make_parser(context).parse_args(rest)
    except click.BadOptionUsage:  # a sentence names an option without its value
        values, left, _ = command.make_parser(context).parse_args([*rest, ""])
    if left and not isinstance(command, click.Group):
        raise click.UsageError(f"{left} is too much")
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(value, str) and isinstance(parameter.type, click.Choice):
            parameter.type.convert(value, parameter, context)
