"""`vhdx scan`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.linkage.matching import Link
from analyzer.linkage.record import FileRecord
from analyzer.remedies import shell_command
from analyzer.scan.advice import Advice
from analyzer.scan.coverage import Weight
from analyzer.scan.run import Scan, run_scan
from cli import output
from cli.options.common import FILE_PATH, expand_patterns, json_option
from cli.options.jobs import JobOptions, job_options
from cli.output import members
from cli.progress import counter, progress
from cli.render.host_disk import carve_command, hosted_to_plain
from cli.render.scan_text import in_this_encoding, lines_of, when
from cli.text import line_width
from vhdx.findings import Severity

if TYPE_CHECKING:
    from analyzer.convert.disks import RawDisk
    from analyzer.host_disk.search import HostDisk

# About how long a processor takes for a file.
_SECONDS = 0.003


@click.command("scan")
@click.argument("places", nargs=-1, required=True, type=FILE_PATH, callback=expand_patterns, metavar="DIR...")
@job_options
@json_option
def command(places: Sequence[Path], how: JobOptions) -> int:
    """Find virtual disks in folders, group them into chains, and suggest the next command.

    Files are recognised by content, whatever their names, in all subfolders; links to folders are not followed. Parents
    are matched as `vhdx merge` matches them: by the path that the child names, then by identity, wherever the file is
    now. Sources are only read; a bad file is reported, and the scan continues.

    Each chain is drawn with its base at the top and its leaves at the bottom. `holds` is what a layer stores itself
    (data, zeros, trimmed ranges); `show` is the part of it that a leaf above still reads, the rest is hidden by the
    layers between. Below a file are its warnings and errors, with their codes. At the end each chain's current leaf is
    named (what a virtual machine runs on, else what was modified last, but no checkpoint that a backup left behind),
    with the command that merges it. Configurations (.vmcx, .vmrs) name the machines if dissect.hypervisor (AGPL-3.0;
    the extra `machines`) is installed.

    If a parent's identity is not the one that its child names, the evidence is collected, and ends in a verdict: safe,
    fully merged, merge interrupted, doubtful, or wrong parent. For this the sectors that the child holds are compared
    with the parent's: all of them up to 1 GiB, else a sample (`vhdx check --chain` compares all).

    A raw image or a block device that is named itself (the disk of a host) is looked into: which VHDX files lie in it,
    those that are there, deleted ones that a record is left of, and others that nothing tells of but themselves; and
    the command that takes them out.

    Exit code 1 when a finding is an error (a parent missing or not the right one, a loop, a file that cannot be read),
    or there is no VHDX at all.

    \b
    Examples:
      vhdx scan /mnt/old-host
      vhdx scan /mnt/vms /mnt/backup        a parent may be in either
      vhdx scan host.raw                    the disk of a host
      vhdx scan . --json | jq -r '.trees[].advice.command // empty'
      vhdx scan . --json | jq '.findings[] | select(.severity == "error")'
    """
    with counter("scanning") as tick:
        scan = run_scan(places, tick, engine_for=lambda count: how.engine(count, count * _SECONDS), host_search=_search)
    if output.is_json():
        output.emit("scan", _plain(scan), scan.findings)
    else:
        output.emit_lines(in_this_encoding(lines_of(scan, line_width())))
    failed = any(finding.severity is Severity.ERROR for finding in scan.findings)
    found = scan.forest.records or any(host.files for _, host in scan.hosts)
    return int(failed or not found)  # no VHDX at all is most often the wrong folder


def _search(disk: "RawDisk") -> "HostDisk":
    from analyzer.scan.hosts import look_into

    with progress("looking for files", disk.size) as tick:
        return look_into(disk, tick)


def _plain(scan: Scan) -> dict[str, Any]:
    """A scan as JSON has it (docs/json.md), findings aside."""
    advice = {item.root: item for item in scan.advice}
    trees = [
        {
            "root": tree.root.path,
            "leaves": [leaf.path for leaf in tree.leaves],
            "members": [_member(scan, one.record, one.link, one.depth, one.parent) for one in tree.members],
            "advice": _advice(advice.get(tree.root.path)),
        }
        for tree in scan.forest.trees
    ]
    unplaced = [_member(scan, record, None, 0, None) for record in scan.forest.unplaced]
    return (
        members(scan, "folders", "files") | {"trees": trees, "unplaced": unplaced} | members(scan, "machines", "notes")
        | {"hosts": [_host(path, host) for path, host in scan.hosts]}
    )  # fmt: skip


def _host(path: Path, host: "HostDisk") -> dict[str, Any]:
    files = [hosted_to_plain(file) for file in host.files]
    return {"path": path, "files": files, "notes": host.notes, "command": shell_command(carve_command(path))}


def _member(scan: Scan, record: FileRecord, link: Link | None, depth: int, parent: Path | None) -> dict[str, Any]:
    path, weight = record.path, scan.weights.get(record.path, Weight())
    return {
        "path": path,
        "parent": parent,
        "depth": depth,
        "format": record.container.value,
        "condition": record.condition,
        "error": record.flaw or None,
        "file_size": record.file_size,
        "modified": when(record.modified),
        "created": when(record.created),
        **members(record, data_write_guid="identity", previous_data_write_guid="previous_identity"),
        **members(record, "sequence_number", virtual_disk_id="disk_id", virtual_size="disk_size"),
        **members(record, "block_size", logical_sector_size="sector_size"),
        **members(weight, own_bytes="own", shown_bytes="shown", lost_bytes="lost"),
        "link": _link(scan, record, link),
        "copy_of": scan.forest.spare.get(path),
        "outside": path in scan.outside,
        "companions": [companion.path for companion in scan.companions.get(path, ())],
        "machines": [machine.path for machine in scan.used_by.get(path, ())],
    }


def _link(scan: Scan, record: FileRecord, link: Link | None) -> dict[str, Any] | None:
    if link is None:
        return None
    places = [members(place, "key", "text", "path") | {"refused": place.refused or None} for place in record.places]
    plain, found = members(link, "state", "parent", "second_linkage") | {"linkages": record.linkages}, None
    if evidence := scan.evidence.get(record.path):
        found = members(evidence, "verdict", "facts", "doubtful_bytes", "left_bytes")
        found |= {"doubtful_ranges": [list(part) for part in evidence.doubtful], "own_sectors": None}
        if evidence.own:
            found["own_sectors"] = members(evidence.own, "merge", "held", "compared", "equal", "blank", "leading")
    return plain | {"places": places, "evidence": found}


def _advice(advice: Advice | None) -> dict[str, Any] | None:
    if advice is None:
        return None
    commands = {name: shell_command(getattr(advice, name)) or None for name in ("command", "recovery")}
    return members(advice, "current", "reason", "steps", "mergeable") | commands
