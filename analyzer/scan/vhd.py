"""A VHD of version 1 as a scan knows it: its record, by which it is matched like any other file, and what it holds."""

from dataclasses import replace
from pathlib import Path

from analyzer.linkage.record import Condition, Container, FileRecord, place_at
from analyzer.scan.coverage import UNKNOWN, Layer, measure_disk
from analyzer.vhd.image import VhdImage, open_vhd, read_vhd
from vhdx.contents import Structures, is_vhd_file
from vhdx.findings import Severity
from vhdx.source import FileSource


def read_vhd_of(blank: FileRecord, structures: Structures) -> tuple[FileRecord, Layer] | None:
    """The record of a VHD and what it holds; None for a file of another format. Raises what reading raises."""
    source = structures.file
    if not isinstance(source, FileSource) or not is_vhd_file(source):
        return None
    read = read_vhd(source)
    record = replace(blank, container=Container.VHD, findings=read.findings)
    errors = [finding for finding in read.findings if finding.severity is Severity.ERROR]
    if read.value is None:
        return replace(record, flaw=f"{blank.path}: {errors[0]}"), UNKNOWN
    image = read.value
    held = measure_disk(image, lambda start: ("VHD-06", image.why_lost(start)))
    return _of_image(replace(record, condition=Condition.WHOLE), image), held


def _of_image(record: FileRecord, image: VhdImage) -> FileRecord:
    footer, header = image.footer, image.header
    record = replace(
        record,
        identity=footer.unique_id,
        creator=footer.creator_application.decode("ascii", "replace").strip() or record.creator,
        disk_size=image.size,
        block_size=header.block_size if header else None,
        sector_size=image.sector_size,
    )
    if header is None or not image.has_parent:
        return record
    places = tuple(place_at(key, text, record.path.parent) for key, text in image.parent_paths())
    return replace(record, has_parent=True, linkages=(header.parent_unique_id,), places=places)


def measure_vhd(path: Path, most: int) -> Layer:
    """What a VHD holds, at most `most` ranges of it kept. Raises what opening raises."""
    with open_vhd(path) as image:
        return measure_disk(image, lambda start: ("VHD-06", image.why_lost(start)), most)
