"""What settings make of a command's options: the defaults that click takes where the command line says nothing."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from cli.settings import BadSettingError, Origin, Setting, all_settings, beside, is_harmless, refuse, user_file

# VHDX_VERSION may say anything: which version an image of containers has, for example.
_NEVER = {"--version", "--help"}
_TEXTS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_NO_WORK = {"-h", "--help", "-V", "--version"}
# Where an option of a file is said by these variables too, the variable wins.
_PASSPHRASES = ("FILE", "COMMAND", "")


def defaults_for_all(group: click.Group, arguments: Sequence[str]) -> dict[str, Any]:
    """What `default_map` is to have before the command is known; nothing where only help is wanted, or completion."""
    wanted = _NO_WORK & set(arguments) or list(arguments[:1]) == ["help"] or "_VHDX_COMPLETE" in os.environ
    return {} if wanted else defaults_for((), group, group)


def defaults_for(names: tuple[str, ...], command: click.Command, group: click.Group) -> dict[str, Any]:
    """What `default_map` is to have for a command of a group that is called `names`: the values of its options.

    Says what a project's file has that is not followed. Raises UsageError for what is wrong elsewhere.
    """
    options, found = options_of(command), dict[str, Any]()
    for setting in (*all_settings(), *_variables(names, options)):
        try:
            if _is_for(setting, names, command, group) and not _is_said_otherwise(setting):
                _require_harmless(setting)
                option = options[setting.name]
                if (value := _value(setting, option)) is not None:
                    found[str(option.name)] = value
        except click.UsageError as error:
            refuse(setting.origin, error)
    return found


def _is_for(setting: Setting, names: tuple[str, ...], command: click.Command, group: click.Group) -> bool:
    """Whether a setting is of this command; raises BadSettingError for what is of none."""
    depth = len(setting.command)
    if depth > len(names):
        if setting.command[: len(names)] == names:
            _require_command(setting, setting.command[len(names)], command)
        return False
    if setting.command != names[:depth] or (names and not depth):
        return False
    known = options_of(command)
    if setting.name in known or (names and isinstance(command, click.Group)) or _is_of_another(setting, names, group):
        return setting.name in known
    raise BadSettingError(setting, f"is no option of it{_alike(setting.name, known)}")


def _require_command(setting: Setting, name: str, command: click.Command) -> None:
    known = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else []
    if name not in known:
        raise BadSettingError(setting, f"is of no command: there is no {name}{_alike(name, known)}")


def check(setting: Setting, root: click.Group) -> None:
    """Raise UsageError for what is no setting of any command; imports those that it could be of."""
    command: click.Command = root
    for name in setting.command:
        _require_command(setting, name, command)
        below = command.get_command(click.Context(command), name) if isinstance(command, click.Group) else None
        command = below or command
    if (setting.command, setting.name) == (("backup",), "repository"):
        return
    known = options_of(command)
    if isinstance(command, click.Group) and setting.command:
        context = click.Context(command)
        every = [command.get_command(context, name) for name in command.list_commands(context)]
        known = {name: option for one in every if one for name, option in options_of(one).items()}
    if setting.name not in known:
        raise BadSettingError(setting, f"is no option of it{_alike(setting.name, known)}")
    _value(setting, known[setting.name])


def variables(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[Setting]:
    """All variables that say an option of a command of a group; imports them all."""
    yield from _variables(names, options_of(group), exact=True)
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from variables(command, (*names, name))
        elif command:
            yield from _variables((*names, name), options_of(command), exact=True)


def _variables(
    names: tuple[str, ...], options: Mapping[str, click.Option], *, exact: bool = False
) -> Iterator[Setting]:
    """What the environment says of a command's options; unless `exact`, under the name of its group as well."""
    if not any(name.startswith("VHDX_") for name in os.environ):
        return
    for name, option in options.items():
        for command in (names[:end] for end in range(len(names) if exact else min(1, len(names)), len(names) + 1)):
            variable = variable_of(command, name)
            if text := os.environ.get(variable):
                several = option.multiple or option.nargs != 1
                value = list(option.type.split_envvar_value(text)) if several else text
                yield Setting(command, name, value, Origin.VARIABLE, variable)


def _is_of_another(setting: Setting, names: tuple[str, ...], group: click.Group) -> bool:
    """Whether a setting of a group is of another command below it, or of its argument."""
    if len(setting.command) >= len(names) or setting.name == "repository":
        return setting.command == ("backup",) and len(names) > 1
    context = click.Context(group)
    others = (group.get_command(context, name) for name in group.list_commands(context))
    return any(setting.name in options_of(other) for other in others if other)


def _is_said_otherwise(setting: Setting) -> bool:
    """Whether a passphrase is named by a variable, which wins over what a file says of it."""
    head, mark, _ = setting.name.partition("passphrase-")
    if not mark or setting.origin is Origin.VARIABLE:
        return False
    begin = f"VHDX_{head}PASSPHRASE".upper().replace("-", "_")
    return any(os.environ.get(f"{begin}_{end}".rstrip("_")) for end in _PASSPHRASES)


def _require_harmless(setting: Setting) -> None:
    if not is_harmless(setting):
        advice = f"a project's file may not say that; put it into {user_file() or 'the command line'}"
        raise click.UsageError(f"{setting.place}: {setting.key}: {advice}.")


def _value(setting: Setting, option: click.Option) -> Any:  # noqa: ANN401 - of the option's own type
    """What click is to have as a setting's value; None for a flag that is not to be given."""
    if option.is_flag:
        return _flag(setting, option)
    value, several = setting.value, option.multiple or option.nargs != 1
    if several and not isinstance(value, list):
        value = [value]
    if isinstance(option.type, click.Path) and setting.origin is Origin.USER:
        value = [beside(setting, one) for one in value] if several else beside(setting, value)
    try:
        option.type_cast_value(click.Context(click.Command(None)), value)
    except (click.UsageError, TypeError, ValueError) as error:
        text = error.message if isinstance(error, click.UsageError) else "it has a value of another kind"
        raise BadSettingError(setting, f"cannot be {setting.value!r}: {text.rstrip('.')}") from error
    return value


def _flag(setting: Setting, option: click.Option) -> Any:  # noqa: ANN401 - see above
    is_on = setting.value
    if setting.origin is Origin.VARIABLE:
        is_on = _TEXTS.get(str(is_on).lower(), is_on)
    if not isinstance(is_on, bool):
        raise BadSettingError(setting, "is either true or false")
    is_on = is_on != (f"--{setting.name}" in option.secondary_opts)
    if isinstance(option.type, click.types.BoolParamType):
        return is_on
    return option.flag_value if is_on else None


def _alike(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.lstrip("-").replace("_", "-"), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?".removesuffix("?") if near else "; `vhdx config` checks all of them"


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by their long names, without the hyphens."""
    options = [one for one in command.params if isinstance(one, click.Option)]
    flags = {flag: one for one in options for flag in (*one.opts, *one.secondary_opts) if flag not in _NEVER}
    return {flag[2:]: one for flag, one in flags.items() if flag.startswith("--")}


def variable_of(names: Sequence[str], name: str) -> str:
    """The variable that says an option of a command."""
    return "_".join(("VHDX", *names, name)).upper().replace("-", "_")
