"""What every output has in common: the disk that is written, the choices, the plan and the outcome."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import Protocol
from uuid import UUID

from analyzer.convert.disks import KeptRuns, LayeredSource
from vhdx.disk import DiskSource
from vhdx.errors import OutputError
from vhdx.findings import Finding
from vhdx.identities import Identities, random_identities
from vhdx.paths import paths_to_parent
from vhdx.sink import Existing
from vhdx.structures.constants import MAX_BLOCK_SIZE, MAX_DISK_SIZE, MIN_BLOCK_SIZE
from vhdx.structures.disk import DiskType
from vhdx.structures.locator import ABSOLUTE_PATH, LINKAGE, RELATIVE_PATH
from vhdx.system import files
from vhdx.writer import NewDisk


class OutputFormat(StrEnum):
    """The format of an output, spelled as `--format` takes it and as JSON gives it."""

    RAW = "raw"
    VHDX = "vhdx"
    VHDX_FIXED = "vhdx-fixed"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHD_FIXED = "vhd-fixed"
    VHD_AZURE = "vhd-azure"
    VMDK = "vmdk"
    RAW_ZST = "raw.zst"
    E01 = "e01"


DISK_TYPES = {OutputFormat.VHDX: DiskType.DYNAMIC, OutputFormat.VHDX_FIXED: DiskType.FIXED}
VHDX_FORMATS = frozenset(DISK_TYPES)
_ATTACHABLE = VHDX_FORMATS | {OutputFormat.VHD, OutputFormat.VHD_FIXED, OutputFormat.VHD_AZURE}
EXTENSIONS: Mapping[str, OutputFormat] = dict.fromkeys((".raw", ".img", ".bin", ".dd"), OutputFormat.RAW) | {
    ".vhdx": OutputFormat.VHDX,
    ".qcow2": OutputFormat.QCOW2,
    ".vhd": OutputFormat.VHD,
    ".vmdk": OutputFormat.VMDK,
    ".zst": OutputFormat.RAW_ZST,
    ".e01": OutputFormat.E01,
}


def format_of(target: Path) -> OutputFormat:
    """The format that a file name asks for; raises OutputError when it asks for none."""
    try:
        return EXTENSIONS[target.suffix.lower()]
    except KeyError:
        choices = ", ".join(choice.value for choice in OutputFormat)
        raise OutputError(target, "its extension names no known format", f"add --format ({choices})") from None


def extension_of(form: OutputFormat) -> str:
    """The extension that files of a format have."""
    return f".{form.value.partition('-')[0]}"


class Verify(Enum):
    """Whether an output is read back before it gets its name."""

    READ_BACK = "read-back"
    TRUST = "trust"


class Sparse(StrEnum):
    """Whether an output has holes where the disk has zeros, spelled as `--sparse` takes it."""

    AUTO = "auto"
    """Unless it is a VHDX or VHD on a file system of Windows, which attaches no sparse file."""
    ALWAYS = "always"
    NEVER = "never"


class Reflink(StrEnum):
    """Whether an output shares blocks with its sources instead of copying them, spelled as `cp --reflink` has it."""

    AUTO = "auto"
    """Where the file system can."""
    ALWAYS = "always"
    """Or nothing is written."""
    NEVER = "never"


class Compression(Enum):
    """How the data of an image is compressed, where its format leaves that open."""

    FORMAT = "format"
    """As the format has it: not at all where it need not be."""
    ZLIB = "zlib"
    ZSTD = "zstd"


class Digests(Enum):
    """Whether the MD5 and the SHA-1 of the whole disk are put into an E01, zeros included."""

    TAKEN = "taken"
    NONE = "none"
    """An image without: every chunk still has its checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseData:
    """What the examiner says; `acquired` is in seconds since 1970, UTC. Raises ValueError for what breaks a line."""

    case_number: str = ""
    evidence_number: str = ""
    examiner: str = ""
    description: str = ""
    notes: str = ""
    acquired: int = 0

    def __post_init__(self) -> None:
        """In the file values are separated by tabs, on one line."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"{each.name}: {value!r} has characters that cannot be printed on one line")


@dataclass(frozen=True, slots=True, kw_only=True)
class E01Options:
    """Choices that an E01 alone has; `segment_size` in bytes, None for the usual one."""

    case: CaseData = field(default_factory=CaseData)
    digests: Digests = Digests.TAKEN
    segment_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices for an output. `block_size` in bytes, None to keep the base's; `identities` give new GUIDs."""

    block_size: int | None = None
    identities: Identities = random_identities
    existing: Existing = Existing.REFUSE
    verify: Verify = Verify.READ_BACK
    compression: Compression = Compression.FORMAT
    sparse: Sparse = Sparse.AUTO
    reflink: Reflink = Reflink.AUTO
    e01: E01Options = field(default_factory=E01Options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """The image that is asked for: a disk `like` this one, which is the file where that is a VHDX.

    Files of `sources` are never written over.
    """

    target: Path
    format: OutputFormat
    like: NewDisk
    options: Options
    sources: Sequence[Path] = ()


class Layout(Protocol):
    """The plan of one image of another program's format. Nothing was touched to make it."""

    @property
    def needed_bytes(self) -> int:
        """What the target's file system must have free."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was written; all sizes are bytes."""

    target: Path
    format: OutputFormat
    size: int
    data_bytes: int
    """Cells that are not zero."""
    file_size: int
    verified: bool
    layers: int
    """How many were made one."""
    parent: Path | None = None
    """What a differencing output is laid upon; None for one that stands alone."""
    findings: tuple[Finding, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    """MD5 and SHA-1 of the whole disk, in hex, where the output holds them."""
    cloned_bytes: int = 0
    """Of the disk, shared with its sources."""
    copied_bytes: int
    """Of the disk, in cells where nothing is shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be written; all sizes are bytes. Nothing was touched to make it."""

    target: Path
    format: OutputFormat
    size: int
    data_bytes: int
    """What is copied at most: whole cells; those that turn out to be zeros are left out."""
    digested_bytes: int = 0
    """What digests are taken of: zeros take time there."""
    needed_bytes: int
    """What the target's file system must have free."""
    new_disk: NewDisk | None
    """The VHDX to be; None for any other format."""
    layers: int
    """How many are made one."""
    image: Layout | None = None
    """The image to be, of another program's format; None for raw and VHDX."""
    options: Options
    runs: KeptRuns | None = field(default=None, repr=False, compare=False)
    """The disk with the runs that were looked at, so that nobody makes them again."""

    def with_runs(self, disk: DiskSource) -> KeptRuns:
        """The disk, with the runs that were looked at where it is the one that was planned for."""
        return self.runs if self.runs is not None and self.runs.inner is disk else KeptRuns(disk)

    @property
    def work(self) -> int:
        """Bytes to copy, to read back and to take digests of, for progress: an upper bound."""
        return self.digested_bytes + self.data_bytes * (2 if self.options.verify is Verify.READ_BACK else 1)

    def outcome(self, data_bytes: int, file_size: int, findings: tuple[Finding, ...]) -> Outcome:
        """What was written, once it is: `data_bytes` of cells that are not zero, all of them copied."""
        return Outcome(
            target=self.target,
            format=self.format,
            size=self.size,
            data_bytes=data_bytes,
            copied_bytes=data_bytes,
            file_size=file_size,
            verified=self.options.verify is Verify.READ_BACK,
            layers=self.layers,
            findings=findings,
        )


def has_holes(request: ImageRequest) -> bool:
    """Whether zeros take no room in the file that is asked for: it may have holes, and its file system has them."""
    return leaves_holes(request.target, request.format, request.options) and files.keeps_holes(request.target.parent)


def leaves_holes(target: Path, form: OutputFormat, options: Options) -> bool:
    """Whether an output may have holes, by what was asked for and where it is to be."""
    if options.sparse is Sparse.AUTO:
        return form not in _ATTACHABLE or not files.is_read_by_windows(target.parent)
    return options.sparse is Sparse.ALWAYS


def request_like(chain: LayeredSource, target: Path, output: OutputFormat, options: Options) -> ImageRequest:
    """The disk of a chain as one image; its layers are the sources."""
    sources, like = [layer.path for layer in chain.layers], new_disk_like(chain, options)
    if output in VHDX_FORMATS:  # no other has room for them
        like = replace(like, items=chain.items)
    return ImageRequest(target=target, format=output, like=like, options=options, sources=sources)


def new_disk_like(chain: LayeredSource, options: Options) -> NewDisk:
    """A new disk with the chain's size, its base's blocks, its leaf's sectors and disk id, and GUIDs of its own."""
    leaf = chain.layers[-1].parameters
    sectors = chain.sector_size, leaf.physical_sector_size
    return new_disk(options, chain.size, chain.layers[0].parameters.block_size, sectors, leaf.disk_id)


def new_disk(options: Options, size: int, block_size: int, sectors: tuple[int, int], disk_id: UUID) -> NewDisk:
    """A dynamic VHDX to be, with GUIDs of its own; `sectors` are logical and physical. Options may say other blocks."""
    return NewDisk(
        type=DiskType.DYNAMIC,
        size=size,
        block_size=options.block_size or block_size,
        logical_sector_size=sectors[0],
        physical_sector_size=sectors[1],
        disk_id=disk_id,
        file_write_guid=options.identities("file_write_guid"),
        data_write_guid=options.identities("data_write_guid"),
    )


def check_block_size(target: Path, block_size: int | None) -> None:
    """Refuse a block size that the format does not have; raises OutputError."""
    if block_size is None:
        return
    # [MS-VHDX] 2.6.2.1: a power of two, 1 MiB to 256 MiB
    if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
        raise OutputError(target, f"no VHDX has blocks of {block_size} bytes", "choose 1M, 2M, 4M ... 256M")


def check_disk_size(target: Path, disk: NewDisk) -> None:
    """Refuse a disk that no VHDX holds; raises OutputError."""
    if not 0 < disk.size <= MAX_DISK_SIZE:
        raise OutputError(target, f"no VHDX holds a disk of {disk.size} bytes", "choose --format raw")
    if disk.size % disk.logical_sector_size:
        reason = f"a disk of {disk.size} bytes is no whole sectors of {disk.logical_sector_size}, and no VHDX holds it"
        raise OutputError(target, reason, "choose --format raw")


def require_compression(target: Path, asked: Compression, allowed: Collection[Compression], name: str) -> None:
    """Refuse a way of packing that the format called `name` does not have; raises OutputError."""
    if asked is not Compression.FORMAT and asked not in allowed:
        reason = f"{name} leaves no choice of {asked.value} compression"
        raise OutputError(target, reason, "leave the option out, or choose another format")


def parent_locator(parent: Path, child: Path, linkage: UUID) -> tuple[tuple[str, str], ...]:
    """Keys and values of a locator: the linkage, the path from the child's folder, and on Windows the absolute one.

    Raises OutputError for a path that a locator cannot have.
    """
    pairs = [(LINKAGE, f"{{{linkage}}}")]
    relative, absolute = paths_to_parent(parent.resolve(), child.parent.resolve())
    pairs += [(key, path) for key, path in ((RELATIVE_PATH, relative), (ABSOLUTE_PATH, absolute)) if path]
    # A locator is UTF-16; a name on Linux is bytes, and what is not UTF-8 of them has no characters.
    if any("\ud800" <= character <= "\udfff" for _, value in pairs for character in value):
        reason = f"the path of its parent, {parent}, is not UTF-8, and a file cannot name it"
        raise OutputError(child, reason, "rename the parent, or its folder")
    return tuple(pairs)
