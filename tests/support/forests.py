"""Folders full of chains, with forks, renamed, moved, copied and broken files, and what each file's link must be."""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from fixtures import Brush, HeaderCopy, Identity, ImageSpec, encode
from fixtures.constants import MIB
from fixtures.identity import guid
from fixtures.recipes.kit import child_of


@dataclass
class Planted:
    """What was put into a folder: for each file its parent and the state of its link; no entry for what is no VHDX."""

    folder: Path
    parents: dict[Path, Path | None] = field(default_factory=dict)
    states: dict[Path, str | None] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)
    copies: set[Path] = field(default_factory=set)


@dataclass
class _Node:
    spec: ImageSpec
    path: Path
    name: str
    """The name it had when its children were made."""
    parent: "_Node | None" = None
    fate: str = "kept"


def plant(folder, *, files, seed, most=12):
    """About `files` files below `folder`, at most so many in a tree; the same for the same seed."""
    chance, planted = random.Random(seed), Planted(folder)
    number = 0
    while len(planted.parents) + len(planted.unreadable) < files:
        nodes = _tree(folder / f"vm{number}", chance, f"{seed}-{number}", chance.randint(1, most))
        for node in nodes:
            _meet_fate(node, folder, chance)
        for node in nodes:
            _write(node, planted, chance)
        number += 1
    return planted


def _tree(folder, chance, seed, count):
    brush = Brush(tag=9)
    spec = ImageSpec(size=MIB, identity=Identity.of(seed), blocks={0: brush.full(0, range(4))})
    nodes = [_Node(spec, folder / "base.vhdx", "base.vhdx")]
    for number in range(1, count):
        parent = nodes[-1] if chance.random() < 0.7 else chance.choice(nodes)
        blocks = {0: brush.partial(0, range(number, number + 2))} if chance.random() < 0.8 else {}
        name = f"layer{number}.avhdx"
        spec = child_of(parent.spec, f"{seed}-{number}", blocks, path=f".\\{parent.name}")
        nodes.append(_Node(spec, folder / name, name, parent))
    return nodes


def _meet_fate(node, folder, chance):
    node.fate = chance.choices(
        ("kept", "renamed", "moved", "copied", "lost", "changed", "cut"), (70, 10, 10, 4, 2, 2, 2)
    )[0]
    vm = node.path.parent.name
    if node.fate == "renamed":
        node.path = node.path.with_name(f"{chance.choice(['copy of', 'x', 'Диск'])} {node.path.stem}.bin")
    elif node.fate == "moved":
        node.path = folder / "moved" / f"{vm}-{node.path.name}"
    elif node.fate == "changed":
        since = replace(node.spec.identity, data_write_guid=guid("since", str(node.path)))
        before = HeaderCopy(sequence=6, identity=node.spec.identity)
        node.spec = replace(node.spec, identity=since, headers=(before, HeaderCopy(sequence=7)))


def _write(node, planted, chance):
    node.path.parent.mkdir(parents=True, exist_ok=True)
    if node.fate == "lost":
        return
    file = encode(node.spec)
    if node.fate == "cut":
        file.truncated(chance.randrange(1, 1 << 16)).write_to(node.path.with_suffix(".vhdx.part.vhdx"))
        planted.unreadable.add(node.path.with_suffix(".vhdx.part.vhdx"))
        return
    file.write_to(node.path)
    planted.parents[node.path], planted.states[node.path] = _expected(node)
    if node.fate == "copied":
        copy = planted.folder / "copies" / f"{node.path.parent.name}-{node.path.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        file.write_to(copy)
        planted.copies.add(copy)
        parent, state = _expected(node)
        planted.parents[copy] = parent
        planted.states[copy] = "by_identity" if state == "by_path" else state


def _expected(node):
    parent = node.parent
    if parent is None:
        return None, None
    if parent.fate in {"lost", "cut"}:
        return None, "missing"
    if parent.fate == "changed":
        return parent.path, "mismatch"
    return parent.path, "by_path" if node.path.parent / parent.name == parent.path else "by_identity"
