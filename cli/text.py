"""Text for people, as commands print it."""

from analyzer.wording import exact_size, plural, safe, size

__all__ = ["exact_size", "facts", "plural", "safe", "size"]


def facts(pairs: list[tuple[str, str]]) -> str:
    """Names and values in two columns; a value's further lines stand below it."""
    width = max(len(name) for name, _ in pairs) + 2
    lines = []
    for name, value in pairs:
        first, *rest = value.splitlines() or [""]
        lines.append(f"  {name:<{width}}{first}")
        lines += [f"  {'':<{width}}{line}" for line in rest]
    return "\n".join(lines)
