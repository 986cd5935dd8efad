"""The two headers of a file that is being changed ([MS-VHDX] 2.2.2.1)."""

from dataclasses import replace
from typing import Any

from vhdx.contents import Structures
from vhdx.edit.medium import Medium
from vhdx.errors import require
from vhdx.structures.constants import HEADER_OFFSETS
from vhdx.structures.header import Header, build_header, check_headers

# There is no greater number; a header that has it is not updated any more.
_LAST_NUMBER = (1 << 64) - 1


class Headers:
    """The current header, and how it is changed."""

    def __init__(self, medium: Medium) -> None:
        """Read both; raises CorruptFileError for a file without a current one, and what reading raises."""
        self._medium = medium
        pair = Structures(medium).headers.get()
        require(medium.path, check_headers(pair, medium.size))
        self.current: Header = pair.current
        self._copy = pair.current_copy or 0

    def update(self, **changes: Any) -> None:  # noqa: ANN401 - fields of a header, each of its own type
        """Write both copies, the one that is not current first, each durable before the next: one is always whole.

        Both say the same afterwards, as Windows leaves them: should one be damaged, the other is not out of date.
        """
        for slot in (1 - self._copy, self._copy):
            number = min(self.current.sequence_number + 1, _LAST_NUMBER)
            changed = replace(self.current, sequence_number=number, **changes)
            self._medium.write_at(HEADER_OFFSETS[slot], build_header(changed))
            self._medium.flush()
            self.current = changed
