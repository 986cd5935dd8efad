"""What the commands that write an image share: their options, and what they say when it is written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from analyzer.convert.model import EXTENSIONS, Compression, Options, Outcome, OutputFormat, Verify
from cli import output
from cli.text import plural, safe, size
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target

STDOUT = Path("-")
_DIGESTS = {"md5": "MD5", "sha1": "SHA-1"}
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def format_option(function: Decorated) -> Decorated:
    """`--format`, as `wanted`, for `asked_format`."""
    return click.option(
        "--format",
        "wanted",
        type=click.Choice([choice.value for choice in OutputFormat]),
        metavar="FORMAT",
        help=f"Where the name does not tell ({', '.join(EXTENSIONS)}): {', '.join(OutputFormat)}.",
    )(function)


def output_options(function: Decorated) -> Decorated:
    """How an image is written; `options_from` turns what the command gets into Options."""
    options = (
        click.option("--force", is_flag=True, help="Replace OUT if it exists."),
        click.option("--no-verify", is_flag=True, help="Do not read the output back before it gets its name."),
        click.option(
            "--seed", metavar="TEXT", help="Draw the new GUIDs from TEXT: the same input gives the same bytes."
        ),
        click.option(
            "--compress",
            is_flag=True,
            help="Compress the clusters of a qcow2, with zlib; pack an E01 tightly. Not with --zstd.",
        ),
        click.option(
            "--zstd",
            is_flag=True,
            help="Instead, compress the clusters of a qcow2 with zstd, which is quicker; needs the package zstandard,"
            " and QEMU 5.1 or newer.",
        ),
        click.option("--azure", is_flag=True, help="A fixed VHD of whole MiB, as Azure takes it (vhd-azure)."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@contextmanager
def existing_refused() -> Iterator[None]:
    """Fixtures are never written over anything: say it as all commands do."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(Path(str(error.args[-1])), "it exists already", "name another folder") from error


def refuse_stdout(out: Path) -> None:
    """A VHDX is not written front to back: `-`, which means stdout, cannot take one."""
    if out == STDOUT:
        raise click.UsageError("stdout takes a raw image alone, from `vhdx convert`; name a file.")


def write_text(target: Path, text: str, sources: Sequence[Path], *, force: bool) -> None:
    """Write a document whole or not at all, never over a source; raises OutputError, InputOutputError."""
    existing = Existing.REPLACE if force else Existing.REFUSE
    check_target(target, sources, existing)
    with Sink(target, existing=existing) as sink:
        sink.write_at(0, text.encode("utf-8", "backslashreplace"))
        sink.flush()
        sink.commit()


def options_from(choices: dict[str, Any]) -> Options:
    """The options that a command line chose."""
    seed = choices["seed"]
    return Options(
        block_size=choices.get("block_size"),
        identities=random_identities if seed is None else seeded_identities(seed),
        existing=Existing.REPLACE if choices["force"] else Existing.REFUSE,
        verify=Verify.TRUST if choices["no_verify"] else Verify.READ_BACK,
        compression=_compression(choices),
    )


def _compression(choices: dict[str, Any]) -> Compression:
    if choices["compress"] and choices["zstd"]:
        raise click.UsageError("--compress packs with zlib and --zstd with zstd: choose one.")
    if choices["compress"]:
        return Compression.ZLIB
    return Compression.ZSTD if choices["zstd"] else Compression.FORMAT


def asked_format(wanted: str | None, out: Path, choices: dict[str, Any]) -> OutputFormat | None:
    """The format that options ask for; None when they leave it to the name of `out`."""
    if not choices["azure"]:
        return OutputFormat(wanted) if wanted else None
    if wanted not in {None, "vhd", "vhd-fixed", "vhd-azure"}:
        raise click.UsageError(f"--azure makes a VHD, and --format asks for {wanted}.")
    if EXTENSIONS.get(out.suffix.lower(), OutputFormat.VHD) is not OutputFormat.VHD:
        raise click.UsageError(f"--azure makes a VHD, and {safe(out.name)!r} asks for something else: name it .vhd.")
    return OutputFormat.VHD_AZURE


def payload_of(outcome: Outcome, errors: Sequence[Finding] | None) -> dict[str, Any]:
    """What was written, for JSON, and what a check calls an error in the sources, where that was looked for."""
    return {"output": outcome} | ({} if errors is None else {"errors": errors})


def report(command: str, outcome: Outcome, *, as_json: bool, errors: Sequence[Finding] | None = None) -> None:
    """Say what was written; `errors`, said on stderr already, for JSON."""
    if as_json:
        output.emit(command, payload_of(outcome, errors), outcome.findings)
        return
    kind = f"differencing VHDX on {safe(outcome.parent)}" if outcome.parent else outcome.format.value
    facts = [
        f"{safe(outcome.target)}: {kind}",
        f"disk of {size(outcome.size)} from {plural(outcome.layers, 'layer')}",
        f"file of {size(outcome.file_size)}",
        "read back and right" if outcome.verified else "not read back",
    ]
    facts += [f"{_DIGESTS[name]} {value}" for name, value in outcome.digests.items()]
    if any(finding.code == "CHN-02" for finding in outcome.findings):
        facts.append("WITH A PARENT THAT DOES NOT MATCH, as accepted")
    click.echo(", ".join(facts))
