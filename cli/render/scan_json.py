"""A scan as JSON has it (docs/json.md)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analyzer.linkage.matching import Link
from analyzer.linkage.mismatch import Evidence
from analyzer.linkage.record import FileRecord
from analyzer.scan.advice import Advice
from analyzer.scan.coverage import Weight
from analyzer.scan.run import Scan


def when(seconds: float | None) -> str | None:
    """A time as UTC; None where there is none, or none that a calendar knows."""
    try:
        # a damaged file system gives years that no calendar has
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None


def payload_of(scan: Scan) -> dict[str, Any]:
    """The members of the JSON answer, findings aside."""
    advice = {item.root: item for item in scan.advice}
    return {
        "folders": scan.folders,
        "files": scan.files,
        "trees": [
            {
                "root": tree.root.path,
                "leaves": [leaf.path for leaf in tree.leaves],
                "members": [
                    _member(scan, member.record, member.link, member.depth, member.parent) for member in tree.members
                ],
                "advice": _advice(advice.get(tree.root.path)),
            }
            for tree in scan.forest.trees
        ],
        "unplaced": [_member(scan, record, None, 0, None) for record in scan.forest.unplaced],
        "machines": scan.machines,
        "notes": scan.notes,
    }


def _member(scan: Scan, record: FileRecord, link: Link | None, depth: int, parent: Path | None) -> dict[str, Any]:
    weight = scan.weights.get(record.path, Weight())
    return {
        "path": record.path,
        "parent": parent,
        "depth": depth,
        "condition": record.condition,
        "error": record.flaw or None,
        "file_size": record.file_size,
        "modified": when(record.modified),
        "created": when(record.created),
        "data_write_guid": record.identity,
        "previous_data_write_guid": record.previous_identity,
        "sequence_number": record.sequence_number,
        "virtual_disk_id": record.disk_id,
        "virtual_size": record.disk_size,
        "block_size": record.block_size,
        "logical_sector_size": record.sector_size,
        "own_bytes": weight.own,
        "shown_bytes": weight.shown,
        "lost_bytes": weight.lost,
        "link": _link(record, link, scan.evidence.get(record.path)),
        "copy_of": scan.forest.spare.get(record.path),
        "outside": record.path in scan.outside,
        "companions": [companion.path for companion in scan.companions.get(record.path, ())],
        "machines": [machine.path for machine in scan.used_by.get(record.path, ())],
    }


def _link(record: FileRecord, link: Link | None, evidence: Evidence | None) -> Mapping[str, Any] | None:
    if link is None:
        return None
    places = [{"key": p.key, "text": p.text, "path": p.path, "refused": p.refused or None} for p in record.places]
    return {
        "state": link.state,
        "parent": link.parent,
        "linkages": record.linkages,
        "second_linkage": link.second_linkage,
        "places": places,
        "evidence": _evidence(evidence),
    }


def _evidence(evidence: Evidence | None) -> Mapping[str, Any] | None:
    if evidence is None:
        return None
    return {
        "verdict": evidence.verdict,
        "facts": evidence.facts,
        "doubtful_ranges": [list(part) for part in evidence.doubtful],
        "doubtful_bytes": evidence.doubtful_bytes,
        "left_bytes": evidence.left_bytes,
    }


def _advice(advice: Advice | None) -> Mapping[str, Any] | None:
    if advice is None:
        return None
    return {
        "current": advice.current,
        "reason": advice.reason,
        "steps": advice.steps,
        "mergeable": advice.mergeable,
        "command": advice.shell or None,
        "recovery": advice.recovery_shell or None,
    }
