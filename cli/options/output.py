"""What the commands that write an image share: their options, and what they say when it is written."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from analyzer.convert.model import (
    EXTENSIONS,
    VHDX_FORMATS,
    CaseData,
    Compression,
    Digests,
    E01Options,
    Options,
    Outcome,
    OutputFormat,
    Verify,
)
from cli import output
from cli.options.common import ByteSize, force_option
from cli.options.grouping import Decorated, OneOf, Option, choice, grouped
from cli.text import plural, safe, size
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target

STDOUT = Path("-")
_DIGESTS = {"md5": "MD5", "sha1": "SHA-1"}
_CASE = ("case_number", "evidence_number", "examiner", "description", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What a command line asks of an image."""

    format: OutputFormat | None
    azure: bool
    block_size: int | None
    existing: Existing
    verify: Verify
    seed: str | None
    compress: bool
    zstd: bool
    case_number: str | None
    evidence_number: str | None
    examiner: str | None
    description: str | None
    notes: str | None
    segment_size: int | None
    digests: Digests

    @property
    def is_reshaped(self) -> bool:
        """Whether an option asks for more than the bytes of the disk."""
        return bool(self.block_size or self.compress or self.zstd)

    def asked_format(self, out: Path) -> OutputFormat | None:
        """The format that options ask for; None when they leave it to the name of `out`."""
        if not self.azure:
            return self.format
        if self.format not in {None, OutputFormat.VHD, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE}:
            raise click.UsageError(f"--azure makes a VHD, and --format asks for {self.format}.")
        if EXTENSIONS.get(out.suffix.lower(), OutputFormat.VHD) is not OutputFormat.VHD:
            raise click.UsageError(f"--azure makes a VHD, but {safe(out.name)!r} does not end in .vhd.")
        return OutputFormat.VHD_AZURE

    def for_format(self, form: OutputFormat) -> Options:
        """The same for the library; raises UsageError for what `form` does not have."""
        if self.block_size and form not in VHDX_FORMATS:
            raise click.UsageError("--block-size is for VHDX outputs.")
        return Options(
            block_size=self.block_size,
            identities=random_identities if self.seed is None else seeded_identities(self.seed),
            existing=self.existing,
            verify=self.verify,
            compression=self._compression(),
            e01=self._e01(form),
        )

    def _compression(self) -> Compression:
        if self.compress and self.zstd:
            raise click.UsageError("--compress uses zlib and --zstd uses zstd: choose one.")
        if self.compress:
            return Compression.ZLIB
        return Compression.ZSTD if self.zstd else Compression.FORMAT

    def _e01(self, form: OutputFormat) -> E01Options:
        """What an E01 says of itself. With a seed its time of acquisition is zero: the same bytes each time."""
        case = {name: getattr(self, name) or "" for name in _CASE}
        if form is not OutputFormat.E01:
            given = [name for name in case if case[name]] + ["segment_size"] * bool(self.segment_size)
            given += ["no_hash"] * (self.digests is Digests.NONE)
            if given:
                raise click.UsageError(f"--{given[0].replace('_', '-')} is for E01 outputs.")
            return E01Options()
        try:
            data = CaseData(**case, acquired=int(time.time()) if self.seed is None else 0)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
        return E01Options(case=data, digests=self.digests, segment_size=self.segment_size)


def _case_option(name: str) -> Option:
    words = name.split("_")
    return click.option(f"--{'-'.join(words)}", metavar="TEXT", help=f"Set the {' '.join(words)} of an E01.")


def output_options(block_size: str) -> Callable[[Decorated], Decorated]:
    """How an image is written, as `image`; `block_size` says what a VHDX has where the option is not given."""
    options = (
        click.option("--format", type=OneOf(OutputFormat), metavar="FORMAT",
                     help=f"Format of OUT: {', '.join(OutputFormat)}. Default: by its extension"
                     f" ({', '.join(EXTENSIONS)})."),
        click.option("--block-size", type=ByteSize(), help=f"Block size of a VHDX, 1M to 256M. Default: {block_size}."),
        force_option("OUT"),
        choice("--no-verify", "verify", on=Verify.TRUST, off=Verify.READ_BACK, help="Do not read the output back."),
        click.option("--seed", metavar="TEXT",
                     help="Derive new GUIDs from TEXT: the same input gives the same bytes."),
        click.option("--compress", is_flag=True, help="Compress a qcow2 with zlib, or an E01 at the highest level."),
        click.option("--zstd", is_flag=True,
                     help="Compress a qcow2 with zstd: faster; needs the package zstandard, and QEMU 5.1 or newer."),
        click.option("--azure", is_flag=True, help="Write a fixed VHD of whole MiB, as Azure takes it (vhd-azure)."),
        *map(_case_option, _CASE),
        click.option("--segment-size", type=ByteSize(), help="Size of an E01's files, 4M to 2047M. Default: 1500M."),
        choice("--no-hash", "digests", on=Digests.NONE, off=Digests.TAKEN, help="Leave MD5 and SHA-1 out of an E01."),
    )  # fmt: skip
    return grouped("image", OutputOptions, options)


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


def write_text(target: Path, text: str, sources: Sequence[Path], existing: Existing) -> None:
    """Write a document whole or not at all, never over a source; raises OutputError, InputOutputError."""
    check_target(target, sources, existing)
    with Sink(target, existing=existing) as sink:
        sink.write_at(0, text.encode("utf-8", "backslashreplace"))
        sink.flush()
        sink.commit()


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
        "verified" if outcome.verified else "not read back",
    ]
    facts += [f"{_DIGESTS[name]} {value}" for name, value in outcome.digests.items()]
    if any(finding.code == "CHN-02" for finding in outcome.findings):
        facts.append("WITH A PARENT THAT DOES NOT MATCH, as accepted")
    click.echo(", ".join(facts))
