"""`vhdx config`."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from cli import defaults, output, settings
from cli.options.common import json_option
from cli.settings import Setting
from cli.text import safe


@dataclass(frozen=True, slots=True)
class _Judged:
    """A setting, and why it is not followed; None where it is."""

    setting: Setting
    reason: str | None = None


@click.command("config")
@json_option
def command() -> int:
    """Show which settings hold, and where each comes from.

    What the command line says wins over variables (VHDX_CHECK_MIN_SEVERITY for `check --min-severity`), these win over
    the nearest vhdx.toml from the working folder upwards, and that over the user's file. A project's file may say only
    what does no harm, for it may have come with somebody's folder. VHDX_CONFIG names the user's file; empty, it
    switches both files off.

    Exit code 1 when a setting is not followed.

    \b
    Examples:
      vhdx config
      VHDX_CONFIG=other.toml vhdx config
    """
    root = click.get_current_context().find_root().command
    judged = list(_judged(root)) if isinstance(root, click.Group) else []
    files = {"user": settings.user_file(), "project": settings.project_file()}
    payload = {
        "files": [
            {"origin": kind, "path": path, "exists": path is not None and path.is_file()}
            for kind, path in files.items()
        ],
        "settings": [_plain(one) for one in judged],
    }
    output.answer("config", payload, _lines(files, judged))
    return int(any(one.reason for one in judged))


def _judged(root: click.Group) -> Iterator[_Judged]:
    found = [*settings.all_settings(), *defaults.variables(root)]
    last = {one.key: number for number, one in enumerate(found) if settings.is_harmless(one)}
    for number, setting in enumerate(found):
        reason = None if settings.is_harmless(setting) else "a project's file may not say that"
        if reason is None and last[setting.key] != number:
            reason = f"{found[last[setting.key]].place} says otherwise"
        try:
            defaults.check(setting, root)
        except click.UsageError as error:
            reason = error.message.removeprefix(f"{setting.place}: {setting.key} ").rstrip(".")
        yield _Judged(setting, reason)


def _plain(judged: _Judged) -> dict[str, Any]:
    setting = judged.setting
    return {
        "key": setting.key,
        "value": asdict(setting)["value"],
        "origin": setting.origin.value,
        "place": setting.place,
        "reason": judged.reason,
    }


def _lines(files: dict[str, Any], judged: list[_Judged]) -> Iterator[str]:
    for kind, path in files.items():
        state = "" if path is None or path.is_file() else " (not there)"
        yield f"{kind + ' file':<13} {safe(path) if path else 'none'}{state}"
    for one in judged:
        setting = one.setting
        reason = f"; not followed: {safe(one.reason)}" if one.reason else ""
        said = f"{safe(setting.key)} = {safe(_shown(setting.value))}"
        yield f"{said}  ({setting.origin.value}: {safe(setting.place)}{reason})"
    if os.environ.get(settings.REPOSITORY):
        yield f"{settings.REPOSITORY} = {safe(os.environ[settings.REPOSITORY])}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
