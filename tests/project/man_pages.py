"""docs/man, made from the commands themselves: a page of section 1 for each, installed with the wheel.

`python -m tests.project.man_pages`, which `make docs` runs.
"""

import inspect
from collections.abc import Iterator

import click

from analyzer.text import version
from cli.main import EXIT_CODES, vhdx
from tests.support.files import ROOT

FOLDER = ROOT / "docs/man"
_AS_IT_IS = "\b"


def pages() -> Iterator[tuple[str, str]]:
    """The name of each file, and its text."""
    for name, command in (("vhdx", vhdx), *_below(vhdx, "vhdx")):
        yield f"{name.replace(' ', '-')}.1", "\n".join(_page(name, command)) + "\n"


def _below(group: click.Group, above: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        if command is None or command.hidden:
            continue
        yield f"{above} {each}", command
        if isinstance(command, click.Group):
            yield from _below(command, f"{above} {each}")


def _page(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, max_content_width=100)
    file, help_text = name.replace(" ", "-"), inspect.cleandoc(command.help or "")
    first, _, rest = help_text.partition("\n\n")
    yield '.\\" Made from the command itself by `make docs`: change the command.'
    yield f'.TH {file.upper()} 1 "" "vhdx {version()}" "User Commands"'
    yield from (".SH NAME", f"{_escaped(file)} \\- {_escaped(' '.join(first.split()).rstrip('.'))}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (".SH SYNOPSIS", f".B {_escaped(name)}", _escaped(usage))
    if rest:
        yield ".SH DESCRIPTION"
        yield from _paragraphs(rest)
    options = [one for one in command.params if isinstance(one, click.Option)]
    rows = [row for row in (one.get_help_record(context) for one in options) if row]
    yield ".SH OPTIONS"
    for flags, text in rows:
        yield from (".TP", f".B {_escaped(flags)}", _escaped(" ".join(text.split())))
    yield from _ends(name, command, context)


def _ends(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    """What a page has behind the options: commands, exit codes, other pages."""
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            line = below.get_short_help_str(300) if below else ""
            line = getattr(command, "lines", {}).get(each, line)
            yield from (".TP", f".BR {_escaped(f'{name} {each}'.replace(' ', '-'))} (1)", _escaped(line))
    if name == "vhdx":
        yield ".SH EXIT STATUS"
        for code, text in (line.split(None, 1) for line in EXIT_CODES.splitlines()[2:]):
            yield from (".TP", f".B {code}", _escaped(text))
    else:
        above = name.rpartition(" ")[0].replace(" ", "-")
        yield from (".SH SEE ALSO", f".BR {_escaped(above)} (1)")


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        lines = paragraph.splitlines()
        if number:
            yield ".PP"
        if lines and lines[0].strip() == _AS_IT_IS:
            yield from (".nf", *map(_escaped, lines[1:]), ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _escaped(text: str) -> str:
    """Text as roff takes it: backslashes, hyphens that are no dashes, and lines that would be a request."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    made = dict(pages())
    for page in FOLDER.glob("*.1"):
        if page.name not in made:
            page.unlink()
    for file_name, content in made.items():
        (FOLDER / file_name).write_text(content, encoding="utf-8")
