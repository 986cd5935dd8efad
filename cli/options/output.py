"""What the commands that write an image share: their options, and what they say when it is written."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from analyzer.convert.convert import name_alone, plan_output, run_conversion
from analyzer.convert.copying import CellChecksums
from analyzer.convert.model import (
    EXTENSIONS,
    VHDX_FORMATS,
    CaseData,
    Compression,
    Digests,
    E01Options,
    ImageRequest,
    Options,
    Outcome,
    OutputFormat,
    Plan,
    Reflink,
    Sparse,
    Verify,
    extension_of,
    format_of,
)
from analyzer.convert.new_identity.workspace import Clone, Scope
from cli import output
from cli.options.common import BYTE_SIZE, Decorated, InSection, choice, file_in, force_option, grouped, option
from cli.progress import progress
from cli.text import plural, safe, say, size
from vhdx.disk import DiskSource
from vhdx.findings import Finding
from vhdx.identities import random_identities, seeded_identities
from vhdx.sink import Existing, Sink
from vhdx.system.console import is_terminal

if TYPE_CHECKING:
    from analyzer.convert.new_identity.disk import ClonedDisk

_DIGESTS = {"md5": "MD5", "sha1": "SHA-1"}
_DOING = {"merge": "merging", "backup restore": "restoring"}
_E01: dict[str, Any] = {"cls": InSection, "section": "Options of E01"}
_CASE = ("case_number", "evidence_number", "examiner", "description", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What a command line asks of an image."""

    format: OutputFormat | None = option(
        f"Format of OUT: {', '.join(OutputFormat)}. Default: by its extension ({', '.join(EXTENSIONS)}).",
        metavar="FORMAT",
    )
    block_size: int | None = option("Block size of a VHDX, 1M to 256M. Default: {block_size}.", type=BYTE_SIZE)
    existing: Existing = force_option("OUT")
    verify: Verify = choice(Verify.TRUST, "Do not read the output back.", "--no-verify")
    sparse: Sparse = option(
        "Whether zeros are holes in OUT. Default: auto, not in a VHDX or VHD where Windows would refuse it (NTFS).",
        default=Sparse.AUTO.value,
    )
    reflink: Reflink = option(
        "Whether OUT shares blocks with its sources instead of copying them: a raw file or VHDX on XFS or btrfs."
        " Default: auto, where that can be.",
        default=Reflink.AUTO.value,
    )
    seed: str | None = option("Derive new GUIDs from TEXT: the same input gives the same bytes.", metavar="TEXT")
    compress: bool = option("Compress a qcow2 with zlib, or an E01 at the highest level.")
    zstd: bool = option("Compress a qcow2 with zstd: faster; needs the package zstandard, and QEMU 5.1 or newer.")
    azure: bool = option("Write a fixed VHD of whole MiB, as Azure takes it (vhd-azure).")
    case_number: str | None = option("Set the case number of an E01.", metavar="TEXT", **_E01)
    evidence_number: str | None = option("Set the evidence number of an E01.", metavar="TEXT", **_E01)
    examiner: str | None = option("Set the examiner of an E01.", metavar="TEXT", **_E01)
    description: str | None = option("Set the description of an E01.", metavar="TEXT", **_E01)
    notes: str | None = option("Set the notes of an E01.", metavar="TEXT", **_E01)
    segment_size: int | None = option("Size of an E01's files, 4M to 2047M. Default: 1500M.", type=BYTE_SIZE, **_E01)
    digests: Digests = choice(Digests.NONE, "Leave MD5 and SHA-1 out of an E01.", "--no-hash", **_E01)

    @property
    def is_reshaped(self) -> bool:
        """Whether an option asks for more than the bytes of the disk."""
        return bool(self.block_size or self.compress or self.zstd)

    def asked_format(self) -> OutputFormat | None:
        """The format that options ask for; None when they leave it to the name of the output."""
        if not self.azure:
            return self.format
        if self.format not in {None, OutputFormat.VHD, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE}:
            raise click.UsageError(f"--azure makes a VHD, and --format asks for {self.format}.")
        return OutputFormat.VHD_AZURE

    def for_target(
        self, out: Path, source: Path, asked: OutputFormat | None = None
    ) -> tuple[Path, OutputFormat, Options]:
        """Where the image of `source` is written, in which format, and the same for the library.

        A folder gets a file named after `source`, a VHDX where nothing else is asked for. Raises UsageError where
        format and name disagree, OutputError for a name that asks for no format, and as `for_format`.
        """
        asked = asked or self.asked_format()
        if out.is_dir():
            asked = asked or OutputFormat.VHDX
            ending = extension_of(asked)
            out = file_in(out, source, f"-merged{ending}" if asked in VHDX_FORMATS else ending)
        form = asked or format_of(out)
        if extension_of(named := EXTENSIONS.get(out.suffix.lower(), form)) != extension_of(form):
            raise click.UsageError(f"{safe(out.name)!r} asks for {named}, the options ask for {form}: change one.")
        return out, form, self.for_format(form)

    def for_format(self, form: OutputFormat) -> Options:
        """The same for the library; raises UsageError for what `form` does not have."""
        if self.block_size and form not in VHDX_FORMATS:
            raise click.UsageError("--block-size is for VHDX outputs.")
        if self.compress and self.zstd:
            raise click.UsageError("--compress uses zlib and --zstd uses zstd: choose one.")
        return Options(
            block_size=self.block_size,
            identities=random_identities if self.seed is None else seeded_identities(self.seed),
            existing=self.existing,
            verify=self.verify,
            compression=Compression.ZLIB if self.compress else Compression.ZSTD if self.zstd else Compression.FORMAT,
            sparse=self.sparse,
            reflink=self.reflink,
            e01=self._e01(form),
        )

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneOptions(OutputOptions):
    """What a command line asks of an image that may be a clone: how much of it is to be new."""

    dry_run: bool = option("Say what would be written, with sizes; write nothing.")
    clone: bool = option("Give the disk new identities, to use beside its original.")
    clone_ids: Scope | None = option(
        "Set which identities --clone changes: those of the disk and its partitions; of volumes too where that is safe"
        " (default); or all."
    )

    @property
    def asks_nothing(self) -> bool:
        """Whether no option but --dry-run is given: of choices the first is what is meant without one."""
        given = [getattr(self, one.name) for one in fields(self) if one.name not in {"dry_run", "format"}]
        values = [value for value in given if not isinstance(value, Enum)]
        chosen = [value for value in given if isinstance(value, Enum)]
        return not any((self.format, *values)) and all(value is next(iter(type(value))) for value in chosen)

    @property
    def scope(self) -> Scope | None:
        """What gets new identities; None where no clone is asked for."""
        return self.clone_ids or (Scope.VOLUMES if self.clone else None)


def output_options(block_size: str, kind: type[OutputOptions] = OutputOptions) -> Callable[[Decorated], Decorated]:
    """How an image is written, as `image`; `block_size` says what a VHDX has where the option is not given."""
    return grouped("image", kind, block_size=block_size)


def report(
    command: str, outcome: Outcome, *, errors: Sequence[Finding] | None = None, clone: Clone | None = None
) -> None:
    """Say what was written, and which identities of a clone are new; `errors`, said on stderr already, for JSON."""
    others = {"errors": errors, "clone": clone}
    payload = {"output": outcome} | {name: value for name, value in others.items() if value is not None}
    kind = f"differencing VHDX on {safe(outcome.parent)}" if outcome.parent else outcome.format.value
    facts = [
        f"{safe(outcome.target)}: {kind}",
        f"disk of {size(outcome.size)} from {plural(outcome.layers, 'layer')}",
        f"file of {size(outcome.file_size)}",
        "verified" if outcome.verified else "not read back",
    ]
    if outcome.cloned_bytes:
        facts.append(f"{size(outcome.cloned_bytes)} shared with its sources, {size(outcome.copied_bytes)} copied")
    facts += [f"{_DIGESTS[name]} {value}" for name, value in outcome.digests.items()]
    if any(finding.code == "CHN-02" for finding in outcome.findings):
        facts.append("WITH A PARENT THAT DOES NOT MATCH, as accepted")
    lines = [", ".join(facts), *(lines_of(clone) if clone else ())]
    output.answer(command, payload, lines, findings=outcome.findings)


def report_plan(
    command: str, plan: Plan, findings: Sequence[Finding], *, errors: Sequence[Finding] | None = None
) -> None:
    """Say what would be written: nothing was, and everything that could refuse it was asked."""
    names = "target", "format", "size", "data_bytes", "needed_bytes", "layers"
    payload: dict[str, Any] = {"output": None, "plan": output.members(plan, *names)}
    payload |= {} if errors is None else {"errors": errors}
    free = disk_usage(plan.target.parent).free
    line = (
        f"{safe(plan.target)}: would be {plan.format.value}, disk of {size(plan.size)} from "
        f"{plural(plan.layers, 'layer')}, {size(plan.data_bytes)} of data at most, up to {size(plan.needed_bytes)} of "
        f"{size(free)} that are free; nothing was written"
    )
    output.answer(command, payload, [line], findings=findings)


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


def clone_of(disk: DiskSource, scope: Scope | None, options: Options) -> "ClonedDisk | None":
    """The clone of a disk, None without a scope; warns on stderr where no identity could be made new."""
    if scope is None:
        return None
    from analyzer.convert.new_identity.disk import cloned  # what reads partition tables and volumes: for a clone alone

    clone = cloned(disk, options.identities, scope=scope)
    if not clone.changes:
        looked = "the disk signature of an MBR and the GUIDs of a GPT"
        if scope is not Scope.DISK:
            looked += ", serial numbers of NTFS, FAT and exFAT, UUIDs of ext2 to ext4 and Linux swap"
        found = "and found none that could be changed; the copy shows a system whatever its original does"
        say(f"warning: no identity on the disk is new: looked for {looked}, {found}")
    return clone


def write_disk(
    command: str,
    disk: DiskSource,
    request: ImageRequest,
    image: CloneOptions,
    *,
    errors: Sequence[Finding] | None = None,
    name: Callable[[Sink, CellChecksums], None] = name_alone,
) -> None:
    """Write a whole disk, or a clone of it, and report what was written; `errors` are those of its sources.

    `name` is what `run_conversion` takes.
    """
    clone = clone_of(disk, image.scope, request.options)
    plan = _plan(disk, clone, request)
    if image.dry_run:
        report_plan(command, plan, disk.findings, errors=errors)
        return
    with progress(_DOING.get(command, "writing"), plan.work) as update:
        outcome = run_conversion(plan, clone or disk, update, name=name)
    report(command, outcome, errors=errors, clone=_renewed(clone, request, plan))


def _plan(disk: DiskSource, clone: "ClonedDisk | None", request: ImageRequest) -> Plan:
    if clone is None:
        return plan_output(disk, request)
    from analyzer.convert.new_identity.disk import plan_clone

    return plan_clone(clone, request)


def _renewed(clone: "ClonedDisk | None", request: ImageRequest, plan: Plan) -> Clone | None:
    if clone is None:
        return None
    from analyzer.convert.new_identity.disk import summarise

    return summarise(clone, request.like.disk_id, plan)


def stdout_for_bytes() -> BinaryIO:
    """stdout, for bytes of a disk; raises UsageError where it is a terminal."""
    if is_terminal(sys.stdout):  # they can reprogram it
        raise click.UsageError("the bytes of a disk are not for a terminal; pipe them, or name a file.")
    return sys.stdout.buffer
