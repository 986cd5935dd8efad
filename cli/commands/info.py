"""`vhdx info`."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from analyzer.address.state import FlatDescription, describe_flat
from analyzer.examine.describe import ImageDescription, LayerDescription, describe_image, describe_layers, facts_of
from cli import output
from cli.errors import complain
from cli.options.address import DiskOptions, disk_options, expand_disks, opened
from cli.options.chain import layer_file
from cli.options.common import json_option
from cli.text import exact_size, facts, line_width, plural, safe, size
from vhdx.chain import Chain
from vhdx.errors import VhdxError
from vhdx.findings import Finding, Severity
from vhdx.image import open_image


@click.command("info")
@click.argument("files", nargs=-1, required=True, callback=expand_disks, metavar="DISK...")
@disk_options
@json_option
def command(files: Sequence[str], where: DiskOptions) -> int:
    """Show what a disk is, and the chain it belongs to.

    DISK is LEAF, a VHDX or AVHDX file; LEAF@N, the file of layer N of its chain (0 is the base); a raw image; a block
    device; REPO::POINT, a restore point, of which `vhdx backup show` says more; or nbd://, an export of an NBD server.

    Type, sizes, identities, the program that wrote it, the state of its log, its blocks, its parent, and every layer
    below it. A file that cannot be opened, or whose chain is broken, is shown with the reason and gives its exit code;
    blocks that cannot be read give exit code 1. Of several files, the leaves, which no other file needs, are listed
    last.

    \b
    Examples:
      vhdx info disk.vhdx
      vhdx info *.avhdx --search /mnt/old-host/VMs
      vhdx info /mnt/nas/backups::latest
      vhdx info leaf.avhdx --json | jq .files[0].virtual_size
    """
    answers = [_look(text, where) for text in files]
    if output.is_json():
        found = [finding for answer in answers for finding in answer.findings or ()]
        output.emit("info", {"files": [_plain(answer) for answer in answers]}, found)
    else:
        _print(answers)
    # what does not open outweighs damaged blocks
    code = next((answer.failure.exit_code for answer in answers if answer.failure), 0)
    described = [each for answer in answers for each in (answer.description, *(answer.layers or ())) if each]
    is_lost = any(answer.flat.lost_bytes for answer in answers if answer.flat)
    return code or int(is_lost or any(each.damaged_blocks for each in described))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A file's description and its layers, or what prevents either."""

    path: str
    description: ImageDescription | None = None
    flat: FlatDescription | None = None
    """Of a disk that is no VHDX, instead."""
    layers: Sequence[LayerDescription] | None = None
    findings: Sequence[Finding] | None = None
    failure: VhdxError | None = None


def _look(given: str, where: DiskOptions) -> _Answer:
    try:
        with opened(given, where) as state:
            disk, flat = state.disk, describe_flat(state)
            if not isinstance(disk, Chain):
                return _Answer(path=given, flat=flat, findings=disk.findings)
            description, layers = describe_image(disk.leaf), describe_layers(disk)
            return _Answer(path=given, description=description, layers=layers, findings=disk.findings)
    except VhdxError as error:
        # What the file says of itself is worth showing where its chain, or its locator, is broken.
        with (
            suppress(VhdxError),
            open_image(layer_file(Path(given), where)[0], opened=where.as_search().opened) as image,
        ):
            return _Answer(path=given, description=describe_image(image), failure=error)
        return _Answer(path=given, failure=error)


def _plain(answer: _Answer) -> dict[str, Any]:
    plain: dict[str, Any] = {"path": answer.path}
    if found := answer.description or answer.flat:
        plain |= output.plain(found)
    if answer.findings is not None:
        plain["findings"] = output.plain(answer.findings)
    plain["layers"] = output.plain(answer.layers)
    plain["error"] = output.error_to_plain(answer.failure) if answer.failure else None
    return plain


def _print(answers: Sequence[_Answer]) -> None:
    for number, answer in enumerate(answers):
        if number:
            click.echo()
        click.echo(safe(answer.path))
        if answer.description:
            click.echo(facts(_facts(answer.description, answer.layers), line_width()))
            output.warn(answer.description.findings if answer.findings is None else answer.findings)
        if answer.flat:
            click.echo(facts(_flat_facts(answer.flat), line_width()))
        if answer.failure:
            complain(answer.failure)
    if len(answers) > 1:
        click.echo()
        output.emit_sentences(
            f"leaf: {safe(leaf.path)} ({plural(leaf.layer + 1, 'layer')}); no other of these files needs it"
            for leaf in _leaves(answers)
        )


def _leaves(answers: Sequence[_Answer]) -> list[LayerDescription]:
    """The newest layers: the files that are no parent of another one that was named."""
    chains = [answer.layers for answer in answers if answer.layers]
    below = {layer.data_write_guid for layers in chains for layer in layers[:-1]}
    return [layers[-1] for layers in chains if layers[-1].data_write_guid not in below]


_FLAT = {
    "vhd": "VHD of version 1",
    "raw": "raw image",
    "device": "block device",
    "point": "restore point",
    "nbd": "NBD export",
}


def _flat_facts(disk: FlatDescription) -> list[tuple[str, str]]:
    pairs = [
        ("type", _FLAT[disk.type]),
        ("disk size", exact_size(disk.virtual_size)),
        ("sectors", plural(disk.logical_sector_size, "byte")),
        ("data", f"{exact_size(disk.allocated_bytes)} at most; the rest is zeros"),
    ]
    return pairs + ([("LOST", exact_size(disk.lost_bytes))] if disk.lost_bytes else [])


def _facts(image: ImageDescription, layers: Sequence[LayerDescription] | None) -> list[tuple[str, str]]:
    pairs = facts_of(image)
    if image.damaged_blocks:
        pairs.append(("DAMAGE", f"{plural(image.damaged_blocks, 'block')} cannot be read whole; see `vhdx map --own`"))
    pairs += [("note", safe(finding)) for finding in image.findings if finding.severity is Severity.NOTE]
    if image.parent:
        names = [f"{key}: {safe(path)}" for key, path in image.parent.paths.items()]
        lines = [*(str(guid) for guid in image.parent.linkages), *names] or ["(its locator cannot be read)"]
        pairs.append(("parent", "\n".join(lines)))
    if layers and len(layers) > 1:
        pairs.append(("chain", "\n".join(_layer(layer) for layer in layers)))
    return pairs


def _layer(layer: LayerDescription) -> str:
    how = "" if layer.found is None or layer.found.value == "path" else f", found by {layer.found.value}"
    mismatch = "" if layer.matches else ", MISMATCH accepted"
    damage = f", {plural(layer.damaged_blocks, 'block')} DAMAGED" if layer.damaged_blocks else ""
    return f"{layer.layer}  {safe(layer.path)} ({size(layer.file_size)}{how}{mismatch}{damage})"
