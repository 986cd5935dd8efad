"""Inputs that an earlier run of `vhdx recover` wrote: a shell's `*` names them with the files that they came from."""

from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from analyzer.recover.inputs.open_file import Opened
from analyzer.recovery_map.beside import front_of, map_of
from analyzer.recovery_map.disk import is_account
from analyzer.recovery_map.mapfile import identity_in, is_of_carved, is_own_mapfile
from vhdx.findings import Finding, Severity
from vhdx.image import Image
from vhdx.structures.identifier import SIGNATURE

# As `map_of` and `account_of` name them: no other input is opened for this.
_SIDECARS = (".map", ".json")
_TEXT = "an earlier run of `vhdx recover` wrote it, as the map beside it says: left out"


def without_earlier_outputs(inputs: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Finding, ...]]:
    """The inputs that may be layers, and what is said of raw images, maps and accounts of earlier runs.

    Where nothing else is named all of them stay: what is wrong with each is the answer then.
    """
    images = [path for path in inputs if _is_recovered(path) and front_of(path, len(SIGNATURE)) != SIGNATURE]
    sidecars = [path for path in inputs if path.suffix in _SIDECARS and (is_own_mapfile(path) or is_account(path))]
    left = tuple(path for path in inputs if path not in images and path not in sidecars)
    return (left, tuple(map(_left_out, images))) if left else (tuple(inputs), ())


def _is_recovered(path: Path) -> bool:
    """Whether an earlier run wrote an image; what was carved from the disk of a host is a layer like any other."""
    return is_own_mapfile(map_of(path)) and not is_of_carved(map_of(path))


def without_earlier_disks(files: Sequence[Opened]) -> tuple[list[Opened], list[Finding]]:
    """The files that are no VHDX which an earlier run made of one of the others, and what is said of these."""
    made = [file for file in files if (of := identity_in(map_of(file.path))) and _is_of_another(of, file, files)]
    kept = [file for file in files if file not in made]
    for file in made:
        file.close()
    return kept, [_left_out(file.path) for file in made]


def identity_of(image: Image) -> UUID:
    """What a map is about: the data_write_guid of the uppermost file.

    Where that is lost with the headers, the virtual disk's id stands for it, and where that is lost too, a guid made
    of the file's name: no map is to be taken for that of another disk.
    """
    # A name on Linux is bytes, not always UTF-8, which uuid5 asks for.
    made = uuid5(NAMESPACE_URL, image.path.name.encode("utf-8", "backslashreplace").decode())
    return next(one for one in (image.data_write_guid, image.parameters.disk_id, made) if one.int)


def _is_of_another(identity: str, file: Opened, files: Sequence[Opened]) -> bool:
    """Whether a map is about what one of the other files is the uppermost layer of."""
    images = (other.image for other in files if other is not file)
    return any(image is not None and str(identity_of(image)) == identity for image in images)


def _left_out(path: Path) -> Finding:
    return Finding("CHN-14", Severity.WARNING, _TEXT, path=path)
