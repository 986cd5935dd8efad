"""What a file is, and what chain it is part of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from analyzer.text import exact_size, plural, safe, size
from vhdx.chain import Chain
from vhdx.findings import Finding
from vhdx.image import Image
from vhdx.parents import Found
from vhdx.structures.disk import DiskType


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """The log; offset and length are bytes. `live` means that it was replayed in memory, the file not being changed."""

    live: bool
    offset: int
    length: int
    replayed_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentReference:
    """What a differencing file says of its parent."""

    linkages: tuple[UUID, ...]
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDescription:
    """One file; all sizes are bytes."""

    path: Path
    type: DiskType
    virtual_size: int
    block_size: int
    logical_sector_size: int
    physical_sector_size: int
    virtual_disk_id: UUID
    file_write_guid: UUID
    data_write_guid: UUID
    creator: str
    file_size: int
    sequence_number: int
    log: LogState
    blocks: Mapping[str, int]
    """Payload blocks by state."""
    allocated_bytes: int
    """Bytes of the blocks that are present, whole ones."""
    damaged_blocks: int
    """Blocks that cannot be read whole; `vhdx map` lists the ranges."""
    parent: ParentReference | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """One layer of a chain; layer 0 is the base. `found` says how its child came upon it, None for the leaf."""

    layer: int
    path: Path
    virtual_size: int
    file_size: int
    data_write_guid: UUID
    found: Found | None
    damaged_blocks: int
    """Blocks of its file that cannot be read whole."""
    matches: bool
    """Its identity is the one that its child was made from; True for the leaf."""


def describe_image(image: Image) -> ImageDescription:
    """What one file is. Reads its BAT, and raises what reading raises."""
    parameters, header, locator = image.parameters, image.header, image.locator
    states = image.table.count_states()
    without_parent = DiskType.FIXED if parameters.is_fixed else DiskType.DYNAMIC
    return ImageDescription(
        path=image.path,
        type=DiskType.DIFFERENCING if image.has_parent else without_parent,
        virtual_size=image.size,
        block_size=parameters.block_size,
        logical_sector_size=parameters.logical_sector_size,
        physical_sector_size=parameters.physical_sector_size,
        virtual_disk_id=parameters.disk_id,
        file_write_guid=header.file_write_guid,
        data_write_guid=header.data_write_guid,
        creator=image.identifier.creator,
        file_size=image.file.size,
        sequence_number=header.sequence_number,
        log=LogState(
            live=header.log_is_live,
            offset=header.log_offset,
            length=header.log_length,
            replayed_entries=len(image.log.active) if header.log_is_live else 0,
        ),
        blocks={state.name.lower(): count for state, count in states.items()},
        allocated_bytes=sum(count for state, count in states.items() if state.holds_data) * parameters.block_size,
        damaged_blocks=_damaged_blocks(image),
        parent=ParentReference(linkages=locator.linkages, paths=dict(locator.paths)) if locator else None,
        findings=image.findings,
    )


def _damaged_blocks(image: Image) -> int:
    """Blocks that cannot be read whole, and those whose absence is in doubt."""
    # Rounded up: a block of which a part is in doubt cannot be read whole.
    masked = sum(mask.ranges.size for mask in image.masks)
    return sum(map(len, image.table.damaged_blocks())) + -(-masked // image.parameters.block_size)


def facts_of(image: ImageDescription) -> list[tuple[str, str]]:
    """What a file is, as names and values for people; its damage, notes and parent aside."""
    log = f"clean, {size(image.log.length)}" if image.log.length else "none"
    if image.log.live:
        entries = plural(image.log.replayed_entries, "entry")
        log = f"LIVE: {entries} replayed in memory; the file itself is not changed"
    return [
        ("type", f"{image.type.value} VHDX"),
        ("disk size", exact_size(image.virtual_size)),
        ("block size", size(image.block_size)),
        ("sectors", f"{image.logical_sector_size} bytes logical, {image.physical_sector_size} physical"),
        ("disk id", str(image.virtual_disk_id)),
        ("data write", str(image.data_write_guid)),
        ("file write", str(image.file_write_guid)),
        ("written by", safe(image.creator) or "(does not say)"),
        ("file size", exact_size(image.file_size)),
        ("log", log),
        ("blocks", ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in image.blocks.items())),
    ]


def describe_layers(chain: Chain) -> tuple[LayerDescription, ...]:
    """The layers from base to leaf."""
    links = [*chain.links, None]
    return tuple(
        LayerDescription(
            layer=number,
            path=image.path,
            virtual_size=image.size,
            file_size=image.file.size,
            data_write_guid=image.data_write_guid,
            found=link.found if link else None,
            damaged_blocks=_damaged_blocks(image),
            matches=link.matches if link else True,
        )
        for number, (image, link) in enumerate(zip(chain.layers, links, strict=True))
    )
