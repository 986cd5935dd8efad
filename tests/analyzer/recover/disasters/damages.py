"""What happens to chains: each disaster makes of a healthy chain the files that are left, {name: source}.

Of those in STRUCTURAL nothing may be known and wrong. Those in SILENT may leave no evidence: what they did to noise, to
free space and to texts that no checksum covers no tool can tell, and is counted apart.
"""

from dataclasses import replace

from tests.analyzer.judgement.disks import MIB, LaidOut
from tests.analyzer.recover.disasters.chains import Altered
from vhdx.ranges import Range, Ranges

KIB = 1 << 10
FILL = {"zeros": lambda chance, length: bytes(length), "noise": lambda chance, length: chance.randbytes(length)}


def healthy(chain):
    """The files as they are."""
    return {layer.name: Altered(layer.made.without(layer.trimmed), layer.name) for layer in chain.layers}


def changed(chain, name, **how):
    """The files, one of them altered."""
    layer = next(layer for layer in chain.layers if layer.name == name)
    source = how.pop("source", None) or layer.made.without(layer.trimmed)
    return healthy(chain) | {name: Altered(source, name, **how)}


def some_layer(chain, chance):
    """A layer that holds anything."""
    return chance.choice([layer for layer in chain.layers if layer.made.held] or [chain.leaf])


def length_of(made):
    return len(made.front) + len(made.held) * made.block_size


def older(chain, chance, count=None):
    """The table is older than the data by the last blocks of the file."""
    layer = some_layer(chain, chance)
    count = min(len(layer.made.held), count or chance.choice((1, 2, 4, 8, 16)))
    return changed(chain, layer.name, source=layer.made.without(set(layer.made.held[-count:])))


def single_entry(chain, chance):
    """One entry, or some, read as zeros."""
    layer = some_layer(chain, chance)
    lost = set(chance.sample(layer.made.held, min(len(layer.made.held), chance.choice((1, 1, 2, 5)))))
    return changed(chain, layer.name, source=layer.made.without(lost))


def table_overwritten(chain, chance):
    """All of a table, a page or a sector of it, by zeros or noise."""
    layer = some_layer(chain, chance)
    at = layer.made.bat + chance.choice((0, 0, 512, 1024))
    data = FILL[chance.choice(list(FILL))](chance, chance.choice((64, 512, 4 * KIB, 64 * KIB)))
    return changed(chain, layer.name, patches=[(at, data)])


def front(chain, chance, name=None, length=None, fill=None):
    """The front of one file, by zeros or noise."""
    layer = next((one for one in chain.layers if one.name == name), None) or some_layer(chain, chance)
    length = length or chance.choice((64 * KIB, MIB, 2 * MIB, 4 * MIB, 6 * MIB))
    data = FILL[fill or chance.choice(list(FILL))](chance, min(length, length_of(layer.made)))
    return changed(chain, layer.name, patches=[(0, data)])


def all_fronts(chain, chance):
    """The fronts of all files."""
    return {name: file for layer in chain.layers
            for name, file in front(chain, chance, layer.name, 4 * MIB).items() if name == layer.name}  # fmt: skip


def structure(chain, chance):
    """One of the pages and tables in front of the blocks, by zeros, noise or flipped bits."""
    layer = some_layer(chain, chance)
    pages = range(0, len(layer.made.front), 4 * KIB)
    used = [at for at in pages if any(layer.made.front[at : at + 4 * KIB])]
    at, length = chance.choice(used), chance.choice((1, 8, 512, 4 * KIB, 64 * KIB))
    at += chance.randrange(4 * KIB) if length < 512 else 0
    return changed(chain, layer.name, patches=[(at, FILL[chance.choice(list(FILL))](chance, length))])


def cut(chain, chance):
    """A file cut anywhere, mostly at a MiB."""
    layer = some_layer(chain, chance)
    size = chance.randrange(length_of(layer.made))
    return changed(chain, layer.name, size=size if chance.random() < 0.2 else size // MIB * MIB)


def missing(chain, chance):
    """A layer of several is gone, not the newest one: nothing would tell that there was one more."""
    files = healthy(chain)
    if len(files) > 1:
        del files[chance.choice(list(files)[:-1])]
    return files


def unread(chain, chance):
    """ddrescue could not read some sectors of blocks, and its map is there."""
    layer = some_layer(chain, chance)
    lower, upper = len(layer.made.front) // 512, length_of(layer.made) // 512
    count = chance.randint(1, 20)
    parts = [Range(chance.randrange(lower, upper) * 512, 512 * chance.choice((1, 8, 128))) for _ in range(count)]
    lost = Ranges.of(Range.between(part.start, min(part.end, upper * 512)) for part in parts)
    return changed(chain, layer.name, unread=lost)


def encrypted(chain, chance, period=None, length=MIB):
    """One MiB of every few of a file is encrypted."""
    layer = some_layer(chain, chance)
    period = (period or chance.choice((4, 8, 16, 32))) * MIB
    start = chance.randrange(0, period, MIB)
    start = start if start >= len(layer.made.front) else start + -(-(len(layer.made.front) - start) // period) * period
    places = range(start, length_of(layer.made), period)
    return changed(chain, layer.name, patches=[(at, chance.randbytes(length)) for at in places])


def overwritten(chain, chance):
    """Some MiB or less of blocks, by zeros or noise."""
    layer = some_layer(chain, chance)
    unit = chance.choice((64 * KIB, 256 * KIB, MIB))
    units = range(len(layer.made.front), length_of(layer.made), unit)
    fill = FILL[chance.choice(list(FILL))]
    places = chance.sample(units, min(len(units), chance.randint(1, 6)))
    return changed(chain, layer.name, patches=[(at, fill(chance, unit)) for at in places])


def holes(chain, chance):
    """Some stretches of 64 KiB were lost by the host: holes in a file that has no others."""
    layer = some_layer(chain, chance)
    units = range(len(layer.made.front), length_of(layer.made), 64 * KIB)
    places = chance.sample(units, min(len(units), chance.randint(1, 8)))
    lost = Ranges.of(Range(at, 64 * KIB) for at in places)
    return changed(chain, layer.name, patches=[(at, bytes(64 * KIB)) for at in places], holes=lost)


def swapped(chain, chance):
    """Two entries changed places."""
    layer = some_layer(chain, chance)
    made = layer.made
    if len(made.held) < 2:
        return healthy(chain)
    one, other = chance.sample(range(len(made.held)), 2)
    order = list(made.held)
    order[one], order[other] = order[other], order[one]
    front_of_it = made.without(layer.trimmed)
    source = LaidOut(front_bytes(front_of_it, made), made.flat, order, made.block_size)
    return changed(chain, layer.name, source=source, moved=(made.held[one], made.held[other]))


def halves(chain, chance):
    """The second half of a file is of an older copy of it."""
    made = chain.layers[0].made
    if len(chain.layers) > 1:
        return healthy(chain)
    before = replace(made, flat=chain.older[: len(made.flat)].ljust(len(made.flat), b"\0"))
    half = len(made.front) + len(made.held) // 2 * made.block_size
    rest = bytearray(length_of(made) - half)
    before.without(set()).read_into(half, memoryview(rest))
    return changed(chain, chain.layers[0].name, patches=[(half, bytes(rest))])


def front_bytes(source, made):
    """What is in front of the blocks, with its table."""
    found = bytearray(len(made.front))
    source.read_into(0, memoryview(found))
    return found


STRUCTURAL = (older, single_entry, table_overwritten, front, all_fronts, structure, cut, missing, unread)
SILENT = (encrypted, overwritten, holes, swapped, halves)
OF_TABLES = (older, single_entry, table_overwritten)
"""What loses entries and leaves their blocks without an owner."""
OLD = (halves,)
"""Of those, what leaves structures that are whole in themselves, and of another time."""
