"""What is known of the files that `vhdx files` lists, by the map of an image that `vhdx recover` wrote."""

from typing import Any

from analyzer.guest.filesystems.record import FileRecord
from analyzer.recovery_map.disk import MappedDisk
from cli.render.files import plain_file
from cli.text import plural
from vhdx.disk import Disk

STALE = "holds an older or unproved state"


class Known:
    """Tells of each file whether all of it is known; without a map, a name that has no record is all that is not.

    `lost` counts the files told of of which something is lost.
    """

    def __init__(self, disk: Disk) -> None:
        """Of the files in `disk`."""
        self._map, self.lost = disk if isinstance(disk, MappedDisk) else None, 0

    def told(self, record: FileRecord) -> str:
        """What is said of a file; nothing where all of it is known, or what is not is said already."""
        known = self._known(record)
        if known["status"] == "lost" and not record.obstacle:
            return f"{plural(known['lost_bytes'], 'byte')} of it {'is' if known['lost_bytes'] == 1 else 'are'} lost"
        return STALE if known["status"] == "stale" else ""

    def plain(self, record: FileRecord) -> dict[str, Any]:
        """A file as JSON has it, with `known` where there is a map."""
        known = self._known(record)
        return plain_file(record) | ({"known": known} if self._map else {})

    def _known(self, record: FileRecord) -> dict[str, Any]:
        if self._map is None:
            self.lost += record.is_name_alone
            return {"status": "lost" if record.is_name_alone else "known"}
        from analyzer.recover.affected_files import touched_file

        found = touched_file(record, self._map.lost, self._map.stale)
        if found is None:
            return {"status": "known", "lost_bytes": 0, "stale_bytes": 0, "metadata": "known"}
        self.lost += found.status.value == "lost"
        return {"status": found.status.value, "lost_bytes": found.lost_bytes, "stale_bytes": found.stale_bytes,
                "metadata": found.metadata.value}  # fmt: skip
