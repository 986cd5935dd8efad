"""The chain as a picture: leaf at the top, base at the bottom, each standing on what it takes the rest from."""

from collections.abc import Iterator, Sequence

from analyzer.examine.describe import LayerDescription
from analyzer.report.html.disk_map import DiskMap
from analyzer.report.html.escape import Html, element, joined
from analyzer.text import plural, size
from vhdx.runs import Kind

_WIDTH, _BOX, _GAP = 340, 74, 44
# A chain of 256 layers is drawn as its ends; the table below has all of them.
_MOST_BOXES = 12
# Letters of a name that fit into a box.
_LONGEST = 32


def picture(layers: Sequence[LayerDescription], disk: DiskMap) -> Html:
    """An SVG of the chain; of a long one the uppermost and the lowest layers."""
    shown = _shown(list(reversed(layers)))
    height = len(shown) * (_BOX + _GAP) - _GAP
    parts = [element("title", f"Chain of {plural(len(layers), 'file')}", id="picture-title")]
    for number, layer in enumerate(shown):
        top = number * (_BOX + _GAP)
        parts += _gap(top) if layer is None else _box(layer, disk, top)
        below = shown[number + 1] if number + 1 < len(shown) else None
        if number + 1 < len(shown):
            parts += _arrow(below, top + _BOX)
    return element(
        "svg", joined(parts), viewBox=f"0 0 {_WIDTH} {height}", role="img", class_="chain",
        aria_labelledby="picture-title", xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def _shown(layers: list[LayerDescription]) -> list[LayerDescription | None]:
    """Leaf first; None stands for those that are left out."""
    if len(layers) <= _MOST_BOXES:
        return [*layers]
    half = _MOST_BOXES // 2
    return [*layers[:half], None, *layers[-half:]]


def _gap(top: int) -> list[Html]:
    return [element("text", "… the layers between are in the table …", x=_WIDTH // 2, y=top + _BOX // 2, class_="how")]


def _box(layer: LayerDescription, disk: DiskMap, top: int) -> Iterator[Html]:
    given = disk.bytes_of(Kind.DATA, layer.layer)
    lost = disk.bytes_of(Kind.LOST, layer.layer)
    state = "box lost" if lost or not layer.matches else "box"
    yield element("rect", x=1, y=top + 1, width=_WIDTH - 2, height=_BOX - 2, rx=6, class_=state)
    yield element("rect", x=1, y=top + 1, width=8, height=_BOX - 2, rx=4, class_=f"fill layer-{layer.layer}")
    yield element("text", element("title", layer.path), _short(layer.path.name), x=20, y=top + 22, class_="name")
    yield element("text", f"{_role(layer)}, file of {size(layer.file_size)}", x=20, y=top + 41)
    told = f"gives {size(given)}" + (f", {size(lost)} LOST" if lost else "")
    yield element("text", f"{told} of the disk's {size(disk.size)}", x=20, y=top + 58)
    width = round((_WIDTH - 30) * given / max(1, disk.size), 1)
    yield element("rect", x=20, y=top + 64, width=_WIDTH - 30, height=4, class_="track")
    yield element("rect", x=20, y=top + 64, width=width, height=4, class_=f"fill layer-{layer.layer}")


def _role(layer: LayerDescription) -> str:
    """Its number, and whether it is an end of the chain."""
    ends = (["base"] if layer.layer == 0 else []) + (["leaf"] if layer.found is None else [])
    return f"layer {layer.layer}" + (f" ({', '.join(ends)})" if ends else "")


def _arrow(below: LayerDescription | None, top: int) -> Iterator[Html]:
    middle, tip = 40, top + _GAP - 4
    yield element("path", d=f"M{middle} {top + 4}V{tip}m-5 -7l5 7l5 -7", class_="arrow")
    if below is not None and below.found is not None:
        mismatch = "" if below.matches else ", MISMATCH accepted"
        yield element("text", f"parent, found by {_how(below)}{mismatch}", x=middle + 16, y=top + _GAP // 2 + 4)


def _how(layer: LayerDescription) -> str:
    return (
        "--parent"
        if layer.found is not None and layer.found.value == "given"
        else str(layer.found and layer.found.value)
    )


def _short(name: str) -> str:
    """A name that fits: its middle is left out, for both ends of a checkpoint's name tell it from others."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}"
