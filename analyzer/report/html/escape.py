"""HTML in which nothing from a file can be more than text: whatever is not Html already is made so, escaped."""

import html
from collections.abc import Iterable, Sequence

from analyzer.text import safe

_VOID = {"meta", "br", "hr", "link"}


class Html(str):
    """Text that is markup; only this module and the page's own templates make it."""

    __slots__ = ()


def text(value: object) -> Html:
    """Anything as text of a page: markup escaped, controls and what reverses a line visible. Html stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(safe(value)))


def element(name: str, *children: object, **attributes: object) -> Html:
    """`<name>` with its children. `class_` and `aria_label` stand for class and aria-label; None leaves one out."""
    given = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    shown = "".join(f' {key}="{text(value)}"' for key, value in given)
    if name in _VOID:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{joined(children)}</{name}>")


def joined(parts: Iterable[object], separator: str = "") -> Html:
    """Parts one after the other, each as text unless it is Html."""
    return Html(separator.join(text(part) for part in parts))


def prose(words: object) -> Html:
    """A sentence whose parts in backticks are code."""
    parts = str(words).split("`")
    return joined(element("code", part) if number % 2 else part for number, part in enumerate(parts))


def table(caption: str, names: Sequence[object], rows: Iterable[Sequence[object]], *, style: str | None = None) -> Html:
    """A table that can be scrolled, by keyboard too, where the page is narrow. The first column names its row."""
    head = element("tr", *(element("th", name, scope="col") for name in names))
    body = (
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    )
    inner = element("table", element("caption", caption), element("thead", head), element("tbody", joined(body, "\n")))
    # What scrolls must be reachable without a mouse (WCAG 2.1.1): it takes the focus, and says what it is.
    kind = f"scroll {style}" if style else "scroll"
    return element("div", inner, class_=kind, tabindex="0", role="group", aria_label=caption)


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Names and values; those without a value are left out."""
    rows = (joined((element("dt", name), element("dd", value))) for name, value in pairs if value not in {"", None})
    return element("dl", joined(rows))
