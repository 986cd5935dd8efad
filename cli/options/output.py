"""What the commands that write an image share: their options, and what they say when it is written."""

import time
from collections.abc import Callable, Iterator, Sequence
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
    format_of,
)
from analyzer.convert.new_identity.workspace import Clone
from cli import output
from cli.options.common import BYTE_SIZE, Declared, Decorated, OneOf, choice, force_option, grouped, option
from cli.text import plural, safe, size
from vhdx.findings import Finding
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing, Sink
from vhdx.targets import check_target

STDOUT = Path("-")
_DIGESTS = {"md5": "MD5", "sha1": "SHA-1"}
_CASE = ("case_number", "evidence_number", "examiner", "description", "notes")


def _case_option(words: str) -> Declared:
    return option(f"--{words.replace(' ', '-')}", metavar="TEXT", help=f"Set the {words} of an E01.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What a command line asks of an image."""

    # fmt: off
    format: OutputFormat | None = option("--format", type=OneOf(OutputFormat), metavar="FORMAT",
                                         help=f"Format of OUT: {', '.join(OutputFormat)}. Default: by its"
                                              f" extension ({', '.join(EXTENSIONS)}).")
    block_size: int | None = option("--block-size", type=BYTE_SIZE,
                                    help="Block size of a VHDX, 1M to 256M. Default: {block_size}.")
    existing: Existing = force_option("OUT")
    verify: Verify = choice("--no-verify", on=Verify.TRUST, off=Verify.READ_BACK, help="Do not read the output back.")
    seed: str | None = option("--seed", metavar="TEXT",
                              help="Derive new GUIDs from TEXT: the same input gives the same bytes.")
    compress: bool = option("--compress", is_flag=True,
                            help="Compress a qcow2 with zlib, or an E01 at the highest level.")
    zstd: bool = option("--zstd", is_flag=True,
                        help="Compress a qcow2 with zstd: faster; needs the package zstandard, and QEMU 5.1 or newer.")
    azure: bool = option("--azure", is_flag=True, help="Write a fixed VHD of whole MiB, as Azure takes it (vhd-azure).")
    case_number: str | None = _case_option("case number")
    evidence_number: str | None = _case_option("evidence number")
    examiner: str | None = _case_option("examiner")
    description: str | None = _case_option("description")
    notes: str | None = _case_option("notes")
    segment_size: int | None = option("--segment-size", type=BYTE_SIZE,
                                      help="Size of an E01's files, 4M to 2047M. Default: 1500M.")
    digests: Digests = choice("--no-hash", on=Digests.NONE, off=Digests.TAKEN,
                              help="Leave MD5 and SHA-1 out of an E01.")
    # fmt: on

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

    def for_target(self, out: Path) -> tuple[OutputFormat, Options]:
        """The format of `out`, by the options or its name, and the same for the library; raises as `for_format`."""
        form = self.asked_format(out) or format_of(out)
        return form, self.for_format(form)

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
            data = CaseData(**case, acquired=int(time.time()) if self.seed is None else 0)  # the format has seconds
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
        return E01Options(case=data, digests=self.digests, segment_size=self.segment_size)


def output_options(block_size: str) -> Callable[[Decorated], Decorated]:
    """How an image is written, as `image`; `block_size` says what a VHDX has where the option is not given."""
    return grouped("image", OutputOptions, block_size=block_size)


def refuse_stdout(out: Path) -> None:
    """A VHDX is not written front to back: `-`, which means stdout, cannot take one."""
    if out == STDOUT:
        raise click.UsageError("stdout takes a raw image alone, from `vhdx convert`; name a file.")


def write_text(target: Path, text: str, sources: Sequence[Path], existing: Existing) -> None:
    """Write a document whole or not at all, never over a source; raises OutputError, InputOutputError."""
    check_target(target, sources, existing)
    with Sink(target, existing=existing) as sink:
        sink.write_at(0, text.encode("utf-8", "backslashreplace"))  # a file name that is no text must not end a report
        sink.flush()
        sink.commit()


def report(
    command: str,
    outcome: Outcome,
    *,
    as_json: bool,
    errors: Sequence[Finding] | None = None,
    clone: Clone | None = None,
) -> None:
    """Say what was written, and which identities of a clone are new; `errors`, said on stderr already, for JSON."""
    payload: dict[str, Any] = {"output": outcome} | ({} if errors is None else {"errors": errors})
    lines = [summary_of(outcome)]
    if clone is not None:
        payload, lines = payload | {"clone": clone}, [*lines, *lines_of(clone)]
    output.answer(command, payload, lines, as_json=as_json, findings=outcome.findings)


def summary_of(outcome: Outcome) -> str:
    """What was written, on one line."""
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
    return ", ".join(facts)


def lines_of(clone: Clone) -> Iterator[str]:
    """What became of each identity, a line for each."""
    if not clone.changes:
        yield "  no identity was found that could be made new"
    for change in clone.changes:
        where = f" (at {', '.join(map(str, change.places))})" if change.places else ""
        yield f"  {safe(change.what)}{where}: {change.old} is now {change.new}"
    for kept in clone.kept:
        then = f"; {kept.then}" if kept.then else ""
        yield f"  NOT CHANGED: {safe(kept.what)} at {kept.start}: {safe(kept.why)}{safe(then)}"
    if clone.changes:
        yield "  Before the clone boots, change what names the old ones: fstab, GRUB (UUIDs), the BCD (partitions)."
