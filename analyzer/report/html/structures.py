"""Facts and on-disk structures of a file, as parts of a page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from analyzer.examine.describe import ImageDescription
from analyzer.report.html.escape import Html, element, facts, joined, table
from analyzer.report.html.model import FilePart, Structure
from analyzer.text import exact_size, plural, size

# Records that stand beside one another, field by field, so that two copies can be compared.
_FEW = 2
# A page for people: tables of millions of entries are what `vhdx dump` is for.
_MOST_ENTRIES = 100
_PLACES = {"offset", "file_offset", "log_offset", "key_offset", "value_offset"}
_SIZES = {"length", "log_length", "size", "block_size"}
Record = Mapping[str, Any]


def files_part(files: Sequence[FilePart]) -> Html:
    """Each file, the leaf first, folded up."""
    return joined(map(_file, reversed(files)), "\n")


def _file(part: FilePart) -> Html:
    layer = Html() if part.layer is None else element("span", f"layer {part.layer} ", class_="muted")
    title = element("summary", layer, part.path.name)
    body = [element("p", part.path, class_="path")]
    body.append(_description(part.image) if part.image else element("p", "The file cannot be opened as a whole."))
    body += [_structure(structure) for structure in part.structures]
    if not part.structures:
        body.append(element("p", "Its structures are left out of this page; `vhdx dump FILE` shows them."))
    return element("details", title, *body, class_="structures")


def _description(image: ImageDescription) -> Html:
    blocks = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in image.blocks.items())
    log = f"LIVE, {plural(image.log.replayed_entries, 'entry')} replayed in memory" if image.log.live else "clean"
    return facts(
        (
            ("type", f"{image.type.value} VHDX"),
            ("disk size", exact_size(image.virtual_size)),
            ("file size", exact_size(image.file_size)),
            ("block size", size(image.block_size)),
            ("sectors", f"{image.logical_sector_size} bytes logical, {image.physical_sector_size} physical"),
            ("written by", image.creator or "(does not say)"),
            ("disk id", image.virtual_disk_id),
            ("data write", image.data_write_guid),
            ("file write", image.file_write_guid),
            ("log", log),
            ("blocks", blocks),
            ("damaged blocks", image.damaged_blocks or ""),
        )
    )


def _structure(structure: Structure) -> Html:
    if structure.error:
        return joined((element("h4", structure.name), element("p", structure.error, class_="lost")))
    if not structure.records:
        return joined((element("h4", structure.name), element("p", "None.")))
    return joined(_tables(structure.name, structure.records), "\n")


def _tables(name: str, records: Sequence[Record]) -> Iterator[Html]:
    """Records of the same fields in one table."""
    for names, group in groupby(records, key=_fields):
        alike = list(group)
        if len(alike) <= _FEW:
            columns = ["field", *(f"record {number + 1}" for number in range(len(alike)))]
            rows = [[_label(field), *(_value(field, record[field]) for record in alike)] for field in names]
        else:
            columns = [_label(field) for field in names]
            rows = [[_value(field, value) for field, value in record.items()] for record in alike]
        yield table(name, columns, rows)


def _fields(record: Record) -> tuple[str, ...]:
    return tuple(record)


def _label(field: str) -> str:
    return field.replace("_", " ")


def _value(field: str, value: object) -> object:
    match value:
        case bool():
            return "yes" if value else "no"
        case bytes():
            return value.hex()
        case list() | tuple():
            return joined(_tables(_label(field), value[:_MOST_ENTRIES]))
        case int() if field in _SIZES:
            return exact_size(value)
        case int() if field in _PLACES:
            return f"{value} (0x{value:x})"
    return value
