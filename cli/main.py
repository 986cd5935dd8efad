"""The entry point. It loads click alone: a command's module, and what that needs, waits until the command runs."""

import sys

try:  # Ctrl-C that comes while this is loaded ends the program as it does later: without a traceback
    import importlib
    from collections.abc import Sequence

    import click

    from cli.help import HelpContext, with_help
except KeyboardInterrupt:
    sys.exit(130)

COMMANDS = {
    "info": "What a file is: type, sizes, identities, log, parent, layers.",
    "scan": "The forest of chains in folders: who belongs to whom, and what to do next.",
    "map": "Where each range of the disk comes from, by layer.",
    "hash": "SHA-256 of the flat disk, or of any layer's state.",
    "check": "Everything that is wrong with files or chains, or worth knowing: text, SARIF, JUnit, HTML.",
    "explain": "What a finding code, or a code of Windows, means, and what to do.",
    "report": "One HTML page: the chain, a map of the disk, findings, structures.",
    "merge": "A checkpoint chain to one standalone VHDX (or another image), or its upper layers to one.",
    "convert": "A chain or file to one image: raw, VHDX, qcow2, VHD, VMDK, raw.zst, E01.",
    "changes": "What differs between two states: ranges, a bitmap, or a delta to carry away.",
    "files": "The files inside a disk, in any of its states: volumes, folders, what was deleted.",
    "extract": "Files and folders out of any state of a disk, under names that harm nothing.",
    "apply": "A delta upon the state that it was made from: the new state, in any format.",
    "recover": "What is left of a disk whose files are missing, truncated or unreadable, and a map.",
    "backup": "Restore points of disks in a repository elsewhere: small, verifiable, for any restorer.",
    "create": "A new empty disk: dynamic, fixed, or differencing on a parent.",
    "repair": "A plan of exact bytes that mends a file; upon a copy, or in place with a way back.",
    "undo": "Bring a file back to what it was before it was changed in its place.",
    "set-parent": "Join a checkpoint to its parent anew: rewrite what its locator says.",
    "dump": "The structures of a file as they stand, damaged ones too.",
    "history": "What a file remembers: its log's sessions, its previous header, blocks let go.",
    "carve": "What of a file belongs to nothing: free room, old blocks, slack; as files.",
    "fixtures": "Known-good and known-bad images for tests.",
    "demo": "Build a checkpoint chain, merge it, prove that nothing was lost.",
    "completion": "The script that teaches your shell to complete vhdx.",
}
"""Every command and its line in `vhdx --help`; the module of the same name holds it."""

EXIT_CODES = """\b
Exit codes:
  0    fine
  1    findings or differences
  2    wrong usage
  3    damaged or unsupported input
  4    chain: parent missing, mismatch, loop
  5    output refused
  6    input/output error
  70   a fault in vhdx itself
  130  interrupted (141: the reader of a pipe left; 129, 143: terminated)"""


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one when it is asked for."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cli.commands.{cmd_name.replace('-', '_')}").command
        return with_help(command)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a closed pipe is told apart here, for click would call it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from cli.errors import reader_gone

            ctx.exit(reader_gone())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from cli.output import version

        click.echo(f"vhdx {version()}")
        ctx.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def vhdx() -> None:
    """Read Hyper-V disks (.vhdx, .avhdx) and checkpoint chains, offline, on any system.

    A checkpoint is not a backup: it lives beside its disk and depends on every file below it. When such a chain is
    all that is left, these commands show what is in it and make it one standalone disk. Sources are opened read-only;
    `repair` and `set-parent` alone change a file, when --in-place says so, and `undo` brings it back.

    \b
    Start here:
      vhdx info leaf.avhdx
      vhdx merge leaf.avhdx standalone.vhdx
      vhdx COMMAND --help
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    try:
        from cli.errors import end_tidily, run

        end_tidily()
        code = run(vhdx, arguments)
    except KeyboardInterrupt:  # so early, or so late, that nothing is there to be cleaned up
        code = 130
    sys.exit(code)
