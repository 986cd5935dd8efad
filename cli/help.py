r"""Groups that import a command when it is asked for, and help that fits its terminal, however narrow that is.

Words stay whole, options with hyphens among them. What click keeps as it is (`\b`) is broken so that an example stays a
command that can be pasted, and a list a list.
"""

import importlib
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from itertools import pairwise

import click

from cli import defaults, loudness

# Below it words are broken and nothing can be read; the page then goes past the edge.
_NARROWEST = 30
# Columns from which on options and what they mean are side by side, as click has it.
_ROOMY = 70
_LEAST_TEXT = 20
_AS_IT_IS = "\b\n"
_ITEM = re.compile(r"(?P<lead> *(?P<name>\S+) {2,})(?P<text>\S.*)")
_GOES_ON = " \\"
_BELOW = "    "
_LEADS_ON = {"|", ">", "&&", "vhdx"}
# A word of a command: a quoted one is never broken.
_HELP = {"-h", "--help"}
_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")


class Help(click.HelpFormatter):
    """What click writes help with, for any number of columns."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        """`width` is the terminal's if not given, `max_width` at most; click itself takes no less than 50."""
        columns = min(shutil.get_terminal_size().columns, max_width or 80) - 2
        super().__init__(indent_increment, max(width or columns, _NARROWEST), max_width)

    def write_text(self, text: str) -> None:
        """Write paragraphs, those that are kept as they are line by line."""
        room = self.width - self.current_indent
        for number, paragraph in enumerate(text.split("\n\n")):
            kept = paragraph.removeprefix(_AS_IT_IS)
            lines = _wrapped(paragraph, room) if kept == paragraph else _kept(kept.splitlines(), room)
            self.write("\n" if number else "")
            self.write("".join(f"{'':{self.current_indent}}{line}\n" for line in lines))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of names and what they mean, below the name if that is long."""
        rows = list(rows)
        names = ["\n".join(_choices(name, self.width - self.current_indent, self.current_indent)) for name, _ in rows]
        column = min(max(map(len, names)), col_max if self.width >= _ROOMY else self.width // 3)
        texts = ["\n".join(_wrapped(text, self.width - column - col_spacing - self.current_indent)) for _, text in rows]
        broken = [(name, f"{_AS_IT_IS}{text}" if text else "") for name, text in zip(names, texts, strict=True)]
        super().write_dl(broken, column, col_spacing)


class HelpContext(click.Context):
    """The context of all commands: their help fits its terminal."""

    formatter_class = Help


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one when it is asked for."""

    context_class = HelpContext
    lines: Mapping[str, str] = {}
    """Every command and its line in the help, in the order in which people need them."""
    prefix = ""
    """The module of a command is called so, and like the command."""
    homes: Mapping[str, str] = {}
    """The modules of commands that share one; there, a command is called NAME_command, elsewhere `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names."""
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        if cmd_name not in self.lines:
            return None
        home, name = self.homes.get(cmd_name), cmd_name.replace("-", "_")
        # numpy and what it brings wait until here
        module = importlib.import_module(f"cli.commands.{self.prefix}{home or name}")
        return _with_help(getattr(module, f"{name}_command" if home else "command"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; `help` is --help, a slip is answered with what is called alike, and settings are defaults."""
        name, command, rest = self._resolved(ctx, args)
        if command and name and not ctx.resilient_parsing and not _HELP & set(rest):
            names = (*ctx.command_path.split()[1:], name)
            known = defaults.defaults_for(names, command, self)
            ctx.default_map = {**(ctx.default_map or {}), name: known}
        return name, command, rest

    def _resolved(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name, *rest = args
        if name == "help" and name not in self.lines:
            if not rest:
                click.echo(ctx.get_help())
                ctx.exit()
            return self._resolved(ctx, [*rest, "--help"])
        if name not in self.lines and (near := get_close_matches(name, self.lines, n=2, cutoff=0.6)):
            ctx.fail(f"No such command {name!r}; did you mean {' or '.join(near)}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))


def _with_help(command: click.Command) -> click.Command:
    """The command, and those of a group, with help that fits its terminal, and the options that all have."""
    command.context_class = HelpContext
    if not any("--log" in parameter.opts for parameter in command.params):
        command.params += loudness.options(hidden=True)
    if not isinstance(command, click.Group):
        command.format_options = partial(_write_options, command)  # type: ignore[method-assign]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _with_help(below)
    return command


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The options, those of few under headings of their own, behind what everybody needs."""
    sections: dict[str, list[tuple[str, str]]] = {"Options": []}
    for parameter in command.get_params(ctx):
        row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if row:
            sections.setdefault(getattr(parameter, "section", "Options"), []).append(row)
    for heading, rows in sections.items():
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def _wrapped(text: str, room: int, first: str = "", rest: str = "") -> list[str]:
    """A paragraph in lines, like `analyzer.text.wrapped`, which is not loaded here: help needs click alone."""
    return textwrap.wrap(" ".join(text.split()), room, initial_indent=first, subsequent_indent=rest,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _choices(name: str, room: int, indent: int) -> list[str]:
    """An option with the choices that it has, broken between them where they have no room."""
    if len(name) <= room:
        return [name]
    lines = _wrapped(name.replace("|", "| "), room, rest="  ")
    return [f"{'' if number == 0 else ' ' * indent}{line.replace('| ', '|')}" for number, line in enumerate(lines)]


def _kept(lines: Sequence[str], room: int) -> Iterator[str]:
    """Lines of a kept paragraph: what is too long is broken, as a command or as an item of a list."""
    for line in _whole_items(lines):
        item = _ITEM.fullmatch(line)
        if len(line) <= room:
            yield line
        elif item and item["name"] != "vhdx":
            column = len(item["lead"]) if room - len(item["lead"]) >= _LEAST_TEXT else 6
            yield from _wrapped(item["text"], room, item["lead"], " " * column)
        else:
            yield from _command(line, room)


def _whole_items(lines: Sequence[str]) -> Iterator[str]:
    """The lines, of an item that continues in further ones one line; these begin where its text does."""
    whole: list[str] = []
    column = 0
    for line in lines:
        if whole and column and line.startswith(" " * column):
            whole[-1] += f" {line.strip()}"
            continue
        item = _ITEM.fullmatch(line)
        column = len(item["lead"]) if item and item["name"] != "vhdx" else 0
        whole.append(line)
    yield from whole


def _command(line: str, room: int) -> Iterator[str]:
    """A command on several lines, as a shell takes it, what is said of it below it."""
    indent = " " * (len(line) - len(line.lstrip()))
    words, _, remark = line.strip().partition("  ")
    first, *others = _together(_WORD.findall(words), room - len(indent) - len(_BELOW) - len(_GOES_ON))
    line = indent + first
    for number, part in enumerate(others, 1):
        end = 0 if number == len(others) else len(_GOES_ON)
        if len(line) + 1 + len(part) + end > room:
            yield f"{line}{_GOES_ON}"
            line = f"{indent}{_BELOW}{part}"
        else:
            line += f" {part}"
    yield line
    yield from _wrapped(remark, room, f"{indent}{_BELOW}# ", f"{indent}{_BELOW}# ")


def _together(words: Sequence[str], most: int) -> list[str]:
    """Words of a command, those that belong together as one where `most` columns take them."""
    parts = [words[0]]
    for before, word in pairwise(words):
        # the value of the option before it, what a pipe leads to, or what `vhdx` is to do
        is_option = before.startswith("-") and len(before) > 1
        belongs = before in _LEADS_ON or (is_option and not word.startswith("-") and word not in _LEADS_ON)
        if belongs and len(parts[-1]) + 1 + len(word) <= most:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
