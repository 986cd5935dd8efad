"""Random chains, small and quick to make: mixed blocks, sizes, sectors, states, stale bits, and a judge of bytes."""

from pathlib import Path

from fixtures import BitmapState, Block, BlockState, Identity, ImageSpec, Layout, LocatorSpec, Provision, encode
from tests.support.crashing import PagedFile
from tests.support.model import ByteDisk

MIB = 1 << 20
STATES = (
    BlockState.NOT_PRESENT,
    BlockState.UNDEFINED,
    BlockState.ZERO,
    BlockState.UNMAPPED,
    BlockState.FULLY_PRESENT,
    BlockState.PARTIALLY_PRESENT,
    BlockState.PARTIALLY_PRESENT,
    BlockState.PARTIALLY_PRESENT,
)


def random_chain(chance):
    """Files by path, the paths, base first, and the bytes of the disk that the leaf shows."""
    sector = chance.choice((512, 512, 4096))
    size = random_size(chance, sector)
    specs, judge = [], None
    for number in range(chance.randint(2, 4)):
        if chance.random() < 0.4:
            size = random_size(chance, sector)
        judge = ByteDisk(size, judge)
        specs.append(random_layer(chance, number, sector, judge, specs[-1] if specs else None))
    paths = [Path(f"layer{number}.avhdx" if number else "base.vhdx") for number in range(len(specs))]
    files = {path: PagedFile.of(encode(spec), path) for path, spec in zip(paths, specs, strict=True)}
    return files, paths, bytes(judge.bytes)


def random_size(chance, sector):
    return max(sector, chance.choice((chance.randrange(5 * MIB), MIB * chance.randint(1, 5))) // sector * sector)


def random_layer(chance, number, sector, judge, below):
    block_size = chance.choice((1, 1, 2, 4)) * MIB
    count = -(-judge.size // block_size)
    is_fixed = number == 0 and chance.random() < 0.3
    chosen = range(count) if is_fixed else sorted(chance.sample(range(count), chance.randint(0, min(count, 4))))
    blocks = {}
    for index in chosen:
        state = BlockState.FULLY_PRESENT if is_fixed else chance.choice(STATES)
        blocks[index] = random_block(chance, state, number > 0, index * block_size, block_size, sector, judge)
    is_partial = any(block.state is BlockState.PARTIALLY_PRESENT for block in blocks.values())
    return ImageSpec(
        size=judge.size,
        identity=Identity.of(f"chain-{number}", disk="chain"),
        block_size=block_size,
        logical_sector=sector,
        provision=Provision.FIXED if is_fixed else Provision.DYNAMIC,
        parent=LocatorSpec.full(".\\x.vhdx", below.data_write_guid) if below else None,
        blocks=blocks,
        bitmaps={0: BitmapState.PRESENT} if below and (is_partial or chance.random() < 0.5) else {},
        layout=Layout(
            shuffle=chance.choice((None, "a", "b")),
            gap_mib=chance.choice((0, 0, 1, 3)),
            tail_bytes=chance.choice((0, 0, 512, 70000)),
        ),
    )


def random_block(chance, state, is_child, start, block_size, sector, judge):
    """One block, done to the judge's disk as well."""
    sectors = block_size // sector
    runs = random_runs(chance, sectors)
    data = {run.start: chance.randbytes(len(run) * sector) for run in runs}
    has_own_bits = is_child and chance.random() < (0.7 if state is BlockState.NOT_PRESENT else 0.4)
    bits = tuple(random_runs(chance, sectors)) if has_own_bits else None  # of other states they are stale
    if state is BlockState.NOT_PRESENT:
        return Block(state=state, data=data, bits=bits)
    if state is not BlockState.PARTIALLY_PRESENT or not is_child:
        judge.zero(start, block_size)
        for at, piece in data.items() if state >= BlockState.FULLY_PRESENT else ():
            judge.write(start + at * sector, piece)
        return Block(state=state, data=data, bits=bits)
    content = bytearray(block_size)
    for at, piece in data.items():
        content[at * sector : at * sector + len(piece)] = piece
    for run in runs if bits is None else bits:
        judge.write(start + run.start * sector, bytes(content[run.start * sector : run.stop * sector]))
    return Block(state=state, data=data, bits=bits)


def random_runs(chance, sectors):
    """A few runs of sectors of a block, rising and apart; now and then all of it."""
    if chance.random() < 0.1:
        return [range(sectors)]
    found, position = [], 0
    for _ in range(chance.randint(0, 3)):
        start = chance.choice((position, chance.randrange(sectors), sectors - 1))
        if start >= position:
            found.append(range(start, min(sectors, start + chance.randint(1, 24))))
            position = found[-1].stop + 1
    return found
