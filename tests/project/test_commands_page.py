"""The table of commands is the one that the commands make, and what they share is the same in all."""

from cli.main import vhdx
from tests.project.commands_page import commands, members_of, options_of, page
from tests.support.files import ROOT

# A page, a script for a shell, a proof for people, files with a manifest; keys and folders, which are done or refused.
_WITHOUT_JSON = {"report", "completion", "demo", "fixtures write", "unmount"}
_WITHOUT_JSON |= {f"backup key {name}" for name in ("add", "passwd", "remove")}


def test_the_page_of_commands_is_made_from_the_commands():
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_command_that_answers_has_json_and_the_schema_its_members():
    without = {name for name, command in commands(vhdx) if "--json" not in options_of(command)}
    assert without == _WITHOUT_JSON
    assert not [name for name, _ in commands(vhdx) if name not in without and not members_of(name)]


def test_options_that_commands_share_mean_the_same_in_all():
    kinds = {}
    for name, command in commands(vhdx):
        for option in command.params:
            if option.param_type_name == "option" and option.name in {
                "parents",
                "mappings",
                "trust",
                "json",
                "existing",
            }:
                kinds.setdefault(max(option.opts, key=len), set()).add((type(option.type).__name__, option.is_flag))
                assert option.opts, name
    assert all(len(kind) == 1 for kind in kinds.values()), kinds
