"""The entry point. It loads click alone: a command's module, and what that needs, waits until the command runs."""

import atexit
import os
import signal
import sys

# Nothing here computes with matrices: threads that wait for such work take 20 ms to start, and memory each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

try:  # Ctrl-C that comes while this is loaded ends the program as it does later: without a traceback
    from collections.abc import Sequence

    import click

    from cli import loudness
    from cli.help import LazyGroup
except KeyboardInterrupt:
    sys.exit(130)

COMMANDS = {
    "info": "Show what a file is: type, sizes, identities, log, parent, layers.",
    "scan": "Find virtual disks in folders, group them into chains, suggest the next command.",
    "map": "Show where each range of the disk comes from, by layer.",
    "hash": "Print the SHA-256 of the flat disk, or of any layer's state.",
    "check": "List all errors, warnings and notes on files or chains: text, SARIF, JUnit, HTML.",
    "explain": "Explain a finding code, or an error code of Windows, and what to do.",
    "report": "Write one HTML page: the chain, a map of the disk, findings, structures.",
    "merge": "Merge a checkpoint chain into one standalone VHDX (or another image), or its upper layers into one.",
    "convert": "Convert a chain or file to one image: raw, VHDX, qcow2, VHD, VMDK, raw.zst, E01.",
    "compact": "Make a disk's file smaller: into a new file, or many files in their places.",
    "resize": "Make a disk larger or smaller, in a new file or in place; move the backup of its GPT.",
    "changes": "Show what differs between two states: ranges, files, a bitmap, or a portable delta.",
    "files": "List the files inside a disk, in any of its states: volumes, folders, deleted files.",
    "extract": "Extract files and folders from any state of a disk, under safe names.",
    "serve": "Serve disks by NBD: QEMU, nbdcopy, libguestfs read them; nothing is converted.",
    "mount": "Mount a disk, a repository or the files inside at a folder, read-only, without root.",
    "unmount": "Unmount what `mount` mounted.",
    "apply": "Apply a delta to the state it was made from, and write the new state in any format.",
    "recover": "Recover what is left of a disk whose files are missing, truncated or unreadable, with a map.",
    "backup": "Keep restore points of disks in a repository: small, verifiable, in an open format.",
    "create": "Create an empty disk: dynamic, fixed, or differencing on a parent.",
    "repair": "Plan byte-exact repairs; apply them to a copy, or in place with an undo file.",
    "undo": "Undo a change made in place: restore the file bit for bit.",
    "set-parent": "Relink a checkpoint to its parent (rewrites the parent locator).",
    "dump": "Show the structures of a file as they are, damaged ones too.",
    "history": "Show log sessions, the previous header and unmapped blocks.",
    "carve": "List or extract unallocated space of a VHDX, or the VHDX files in the disk of a host.",
    "fixtures": "Write known-good and known-bad images for tests.",
    "demo": "Build a checkpoint chain, merge it, and prove that nothing was lost.",
    "config": "Show which settings hold, and where each comes from: files, variables.",
    "completion": "Print the completion script for your shell.",
}
"""Every command and its line in `vhdx --help`; the module of the same name holds it, or one that two share."""

EXIT_CODES = """\b
Exit codes:
  0    success
  1    findings or differences
  2    wrong usage
  3    damaged or unsupported input
  4    broken chain: parent missing, mismatch, loop
  5    output refused
  6    input/output error
  70   internal error
  130  interrupted (141: the reader of a pipe left; 129, 143: terminated)"""


class _Commands(LazyGroup):
    """The commands; a closed pipe ends any of them quietly."""

    lines = COMMANDS
    homes = {  # noqa: RUF012 - a table, never changed
        "apply": "changes", "demo": "fixtures", "history": "dump", "map": "hash", "merge": "convert",
        "set-parent": "repair", "undo": "repair", "unmount": "mount",
    }  # fmt: skip

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a closed pipe is handled here, for click would make it exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from cli.errors import reader_gone

            ctx.exit(reader_gone())


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from analyzer.text import version

        click.echo(f"vhdx {version()}")
        ctx.exit()


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
    params=loudness.options(),
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def vhdx() -> None:
    """Read Hyper-V disks (.vhdx, .avhdx) and checkpoint chains, offline, on any system.

    A checkpoint is not a backup: it depends on its disk and on every file below it. When such a chain is all that is
    left, these commands show what is in it and merge it into one standalone disk. Sources are opened read-only, but
    where a command is told to work in place (--in-place, --into); `undo` restores what has an undo file.

    \b
    Start here:
      vhdx scan FOLDER
      vhdx info leaf.avhdx
      vhdx merge leaf.avhdx standalone.vhdx
      vhdx help COMMAND
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    try:
        from cli.errors import end_tidily, run

        end_tidily()
        # While Python tears down what was loaded, Ctrl-C would have it end by the signal, with all done and said.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        code = run(vhdx, arguments)
    except KeyboardInterrupt:  # so early, or so late, that nothing is there to be cleaned up
        code = 130
    sys.exit(code)
