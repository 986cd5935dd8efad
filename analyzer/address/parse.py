"""What a text that names a disk means: a file, a layer's state, a device, a restore point, an export. All unopened."""

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from analyzer.nbd.uri import NbdAddress, NotAnAddressError, is_nbd
from vhdx.chain import StateName
from vhdx.contents import is_vhd_file
from vhdx.errors import VhdxError
from vhdx.source import FileSource, read_at
from vhdx.structures.identifier import SIGNATURE
from vhdx.structures.lookalikes import FRONT_SIZE, container_in, may_be_raw
from vhdx.system.files import is_device

# The two colons of a URL's IPv6 host are none that a restore point follows.
_POINT = re.compile(r"(?P<repository>(?:[a-z0-9+]+://[^/]*)?.*)::(?P<point>[^/\\]*)", re.DOTALL | re.IGNORECASE)


_WEB = re.compile(r"https?://", re.IGNORECASE)
_SETTINGS = "repository.json"
_VHDX_ENDINGS = frozenset((".vhdx", ".avhdx"))
_ENDINGS = frozenset((".raw", ".img", ".bin", ".dd", ".ima", ".001"))


class Kind(Enum):
    """How a disk is kept, by the pattern that its address follows."""

    LEAF = "LEAF"
    """A VHDX with its parents."""
    STATE = "LEAF@N"
    """The state of layer N of a chain."""
    VHD = "DISK.vhd"
    """A VHD of version 1 with its parents, or the state of a layer of them: DISK.avhd@N."""
    RAW = "IMAGE.raw"
    """A file that is a disk's bytes, and nothing else."""
    DEVICE = "DEVICE"
    """A block device."""
    POINT = "REPO::POINT"
    """A restore point."""
    NBD = "nbd://"
    """An export of an NBD server: `nbd://HOST/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`."""


FLAT = frozenset({Kind.RAW, Kind.DEVICE, Kind.POINT, Kind.NBD})
"""The kinds that have no structures around the bytes of the disk."""


class BadAddressError(VhdxError):
    """A text looks like an address, and is none; `reason` is a clause."""

    exit_code = 2
    address: str
    reason: str
    text = "{address} {reason}"


@dataclass(frozen=True, slots=True)
class PointName:
    """A restore point: where its repository is, and what is called so there."""

    repository: str
    point: str


@dataclass(frozen=True, slots=True)
class Address:
    """What a text names."""

    text: str
    kind: Kind
    name: StateName | PointName | NbdAddress

    @property
    def layer(self) -> int | None:
        """The number of the layer whose state is meant; None for all else."""
        return self.name.layer if isinstance(self.name, StateName) else None


def parse_address(text: str) -> Address:
    """What a text names; a file of that whole name comes first.

    Raises BadAddressError, NotRegularFileError, InputOutputError.
    """
    if is_nbd(text):
        return Address(text, Kind.NBD, _export(text))
    point = None if os.path.exists(text) else _POINT.fullmatch(text)  # noqa: PTH110 - a name may be too long to be asked
    if point:
        return Address(text, Kind.POINT, PointName(point["repository"], point["point"]))
    _refuse_repository(text)
    name = StateName.parse(text)
    return Address(text, _kind_of(name), name)


def _refuse_repository(text: str) -> None:
    """Raise BadAddressError for what is a place of disks, and no disk."""
    if _WEB.match(text):
        reason = (
            "is a page of the web; a disk there is read through `nbdkit -U - curl url=URL --run 'vhdx ... \"$uri\"'`"
        )
        raise BadAddressError(text, reason)
    if "://" in text and not os.path.exists(text):  # noqa: PTH110 - see above
        raise BadAddressError(text, "is a place of restore points, and no disk; name one of them, as URL::POINT")
    if os.path.exists(os.path.join(text, _SETTINGS)):  # noqa: PTH110, PTH118 - see above
        raise BadAddressError(text, f"is a repository, and no disk; name one of its restore points, as {text}::latest")


def is_flat(text: str) -> bool:
    """Whether a text names a disk that no VHDX or VHD holds: there are no structures around its bytes.

    Raises as `parse_address` does.
    """
    is_file = is_device(Path(text)) or Path(text).is_file()
    if not (is_file or is_nbd(text) or _POINT.fullmatch(text)) or Path(text).suffix.lower() in _VHDX_ENDINGS:
        return False
    return parse_address(text).kind in FLAT


def _export(text: str) -> NbdAddress:
    try:
        return NbdAddress.parse(text)
    except NotAnAddressError as error:
        raise BadAddressError(text, str(error)) from error


def repository_in(text: str) -> str | None:
    """The repository that a text names by itself, `REPO` or `REPO::`; None where it names a disk."""
    point = None if is_nbd(text) else _POINT.fullmatch(text)
    if point and not os.path.exists(text):  # noqa: PTH110 - see above
        return point["repository"] if not point["point"] else None
    return text if ("://" in text and not is_nbd(text)) or Path(text).is_dir() else None


def _kind_of(name: StateName) -> Kind:
    if is_device(name.path):
        return Kind.DEVICE
    if name.path.suffix.lower() not in _VHDX_ENDINGS:  # a damaged VHDX must not pass for a disk
        if is_vhd(name.path):
            return Kind.VHD
        if is_raw(name.path):
            return Kind.RAW
    return Kind.LEAF if name.layer is None else Kind.STATE


def is_raw(path: Path) -> bool:
    """Whether a file is taken for a raw image: by its name, or because its first bytes may be a disk's as it is.

    Raises NotRegularFileError, InputOutputError.
    """
    if path.suffix.lower() in _VHDX_ENDINGS:
        return False
    with FileSource(path) as file:
        front = read_at(file, 0, min(file.size, FRONT_SIZE))
        named = path.suffix.lower() in _ENDINGS and not front.startswith(SIGNATURE) and container_in(front) is None
        return named or may_be_raw(front)


def is_vhd(path: Path) -> bool:
    """Whether a file begins or ends as a VHD of version 1 does. Raises NotRegularFileError, InputOutputError."""
    with FileSource(path) as file:
        return is_vhd_file(file)
