"""The chain as a picture; the map of the disk as data for the one that a script draws, and tables that say the same."""

import json
from collections.abc import Iterator, Sequence

from analyzer.examine.describe import LayerDescription
from analyzer.report.html.disk_map import WHOLE, Category, DiskMap, ranges_of
from analyzer.report.html.escape import Html, element, joined, table
from analyzer.text import exact_size, plural, safe, size
from vhdx.parents import Found
from vhdx.runs import Kind

MOST_ROWS = 200
"""Rows of the table that stands for the picture."""
KINDS = {
    Kind.DATA: ("data", "bytes of a layer's file"),
    Kind.ZERO: ("zero", "zeros that hide the parent"),
    Kind.TRIM: ("trim", "unmapped or undefined, reads as zeros"),
    Kind.HOLE: ("nothing", "no layer holds it: zeros"),
    Kind.LOST: ("LOST", "cannot be known"),
}
MOST_SHOWN = 24
"""Rows that are shown without being asked for."""
# Percent; less is told in words, for 0.00 would say that there is nothing.
_LEAST_SHARE = 0.01
# Degrees; far apart, and none near the red that lost ranges have.
_HUES = (212, 32, 152, 280, 52, 320, 182, 100)
_WIDTH, _BOX, _GAP = 340, 74, 44
# A chain of 256 layers is drawn as its ends; the table below has all of them.
_MOST_BOXES = 12
# Letters of a name that fit into a box.
_LONGEST = 32


def picture(layers: Sequence[LayerDescription], disk: DiskMap) -> Html:
    """An SVG of the chain; of a long one the uppermost and the lowest layers."""
    shown: list[LayerDescription | None] = [*reversed(layers)]
    if len(shown) > _MOST_BOXES:
        shown = [*shown[: _MOST_BOXES // 2], None, *shown[-(_MOST_BOXES // 2) :]]
    height = len(shown) * (_BOX + _GAP) - _GAP
    parts = [element("title", f"Chain of {plural(len(layers), 'file')}", id="picture-title")]
    for number, layer in enumerate(shown):
        top = number * (_BOX + _GAP)
        if layer is None:
            text = "… the layers between are in the table …"
            parts.append(element("text", text, x=_WIDTH // 2, y=top + _BOX // 2, class_="how"))
        else:
            parts += _box(layer, disk, top)
        if number + 1 < len(shown):
            parts += _arrow(shown[number + 1], top + _BOX)
    return element(
        "svg", joined(parts), viewBox=f"0 0 {_WIDTH} {height}", role="img", class_="chain",
        aria_labelledby="picture-title", xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def _box(layer: LayerDescription, disk: DiskMap, top: int) -> Iterator[Html]:
    given = disk.bytes_of(Kind.DATA, layer.layer)
    lost = disk.bytes_of(Kind.LOST, layer.layer)
    state = "box lost" if lost or not layer.matches else "box"
    yield element("rect", x=1, y=top + 1, width=_WIDTH - 2, height=_BOX - 2, rx=6, class_=state)
    yield element("rect", x=1, y=top + 1, width=8, height=_BOX - 2, rx=4, class_=f"fill layer-{layer.layer}")
    # A name that fits: its middle is left out, for both ends of a checkpoint's name tell it from others.
    name, half = layer.path.name, _LONGEST // 2
    short = name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}"
    yield element("text", element("title", layer.path), short, x=20, y=top + 22, class_="name")
    ends = ["base"] * (layer.layer == 0) + ["leaf"] * (layer.found is None)
    role = f"layer {layer.layer}" + (f" ({', '.join(ends)})" if ends else "")
    yield element("text", f"{role}, file of {size(layer.file_size)}", x=20, y=top + 41)
    share = f"gives {size(given)}" + (f", {size(lost)} LOST" if lost else "")
    yield element("text", f"{share} of the disk's {size(disk.size)}", x=20, y=top + 58)
    width = round((_WIDTH - 30) * given / max(1, disk.size), 1)
    yield element("rect", x=20, y=top + 64, width=_WIDTH - 30, height=4, class_="track")
    yield element("rect", x=20, y=top + 64, width=width, height=4, class_=f"fill layer-{layer.layer}")


def _arrow(below: LayerDescription | None, top: int) -> Iterator[Html]:
    middle, tip = 40, top + _GAP - 4
    yield element("path", d=f"M{middle} {top + 4}V{tip}m-5 -7l5 7l5 -7", class_="arrow")
    if below is not None and below.found is not None:
        how = "--parent" if below.found is Found.GIVEN else below.found.value
        mismatch = "" if below.matches else ", MISMATCH accepted"
        yield element("text", f"parent, found by {how}{mismatch}", x=middle + 16, y=top + _GAP // 2 + 4)


def map_data(disk: DiskMap, layers: Sequence[LayerDescription]) -> Html:
    """The data that the script reads, as JSON that cannot end its element."""
    used = list(dict.fromkeys(disk.categories))
    index = {category: number for number, category in enumerate(used)}
    document = {
        "size": disk.size,
        "grain": disk.grain,
        "layers": [safe(layer.path.name) for layer in layers],
        "categories": [[KINDS[kind][0], layer] for kind, layer in used],
        "part": [index[category] for category in disk.categories],
        "length": disk.lengths,
    }
    document |= {"share": disk.shares} if disk.offsets is None else {"offset": disk.offsets}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    # A browser ends the script element at the first `</script`, also inside a string of JSON.
    return Html(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def colours(count: int) -> str:
    """The style rules of as many layers: each its own hue."""
    # The golden angle keeps neighbours apart however many hues there are; below 20 degrees is the red of what is lost.
    golden = 137.5
    hues = [*_HUES, *(round(20 + number * golden % 320) for number in range(len(_HUES), count))][:count]
    return "\n".join(f".layer-{number} {{ --hue: {hue}; }}" for number, hue in enumerate(hues))


def legend(layers: Sequence[LayerDescription], disk: DiskMap) -> Html:
    """What the colours and hatchings mean."""
    items = [
        element("li", _swatch(f"data layer-{layer.layer}", layer.layer), f" layer {layer.layer}: {layer.path.name}")
        for layer in reversed(layers)
    ]
    kinds = {category.kind for category in disk.totals}
    shown = [KINDS[kind] for kind in Kind if kind in kinds]
    items += [element("li", _swatch(name.lower()), f" {name}: {meaning}") for name, meaning in shown]
    listed = element("ul", joined(items), class_="legend")
    return folded("What the colours mean", listed) if len(items) > MOST_SHOWN else listed


def folded(title: str, content: Html) -> Html:
    """Content that is shown once somebody wants it."""
    return element("details", element("summary", title), content)


def _swatch(style: str, layer: int | None = None) -> Html:
    return element("span", class_=f"swatch {style}", data_layer=layer, aria_hidden="true")


def tables(disk: DiskMap) -> Html:
    """Exact sums; what is lost, one by one; and the ranges that the picture shows."""
    parts = [_sums(disk)]
    if disk.lost:
        more = disk.lost_count - len(disk.lost)
        rest = f"; {plural(more, 'more range')} in `vhdx map`" if more else ""
        lost = [[run.start, exact_size(run.length), run.layer] for run in disk.lost]
        title = f"Ranges that cannot be known{rest}"
        parts.append(table(title, ["first byte", "length", "layer"], lost, style="numbers"))
    exact = disk.offsets is not None and len(disk.lengths) <= MOST_ROWS
    name = "Every range" if exact else f"The disk in {MOST_ROWS} parts or fewer, each by what it mostly holds"
    rows = [
        [start, exact_size(length), *_named(category), f"{share} %"] for start, length, category, share in _rows(disk)
    ]
    inner = table(name, ["first byte", "length", "kind", "layer", "share"], rows, style="numbers")
    parts.append(folded("The map as a table", inner))
    return joined(parts, "\n")


def _named(category: Category) -> tuple[str, str]:
    return KINDS[category.kind][0], "-" if category.kind is Kind.HOLE else str(category.layer)


def _sums(disk: DiskMap) -> Html:
    rows = [
        [*_named(category), exact_size(count), f"{share:.2f} %" if share >= _LEAST_SHARE else f"under {_LEAST_SHARE} %"]
        for category, count in sorted(disk.totals.items(), key=lambda item: (-item[0].layer, item[0].kind))
        for share in [100 * count / disk.size]
    ]
    title = "What the disk is made of"
    sums = table(title, ["kind", "layer", "bytes", "of the disk"], rows, style="numbers")
    return folded(title, sums) if len(rows) > MOST_SHOWN else sums


def _rows(disk: DiskMap) -> Iterator[tuple[int, int, Category, int]]:
    """The parts themselves where they are few; else cells of equal length, by what most of each is."""
    if len(disk.lengths) <= MOST_ROWS:
        yield from ranges_of(disk)
        return
    step = -(-disk.size // MOST_ROWS)
    held: dict[Category, int] = {}
    edge = 0
    for start, length, category, share in ranges_of(disk):
        while length:
            count = min(length, edge + step - start)
            held[category] = held.get(category, 0) + count * share // WHOLE
            start, length = start + count, length - count  # noqa: PLW2901 - the rest of the same part
            if start == min(edge + step, disk.size):
                # A cell that is lost in part must not look whole: who reads the picture looks for exactly that.
                main = max(held, key=lambda category: (category.kind is Kind.LOST, held[category]))
                yield edge, start - edge, main, max(1, min(WHOLE, WHOLE * held[main] // (start - edge)))
                edge, held = start, {}


def sentence(disk: DiskMap) -> str:
    """The map in words."""
    exact = f"{plural(disk.run_count, 'run')}, each one shown"
    coarse = f"{plural(disk.run_count, 'run')}, shown in cells of {size(disk.grain)} by what each mostly holds"
    return f"{exact_size(disk.size)} in {exact if disk.offsets is not None else coarse}."
