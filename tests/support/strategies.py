"""Random disks, layers and runs for Hypothesis."""

from hypothesis import strategies as st

from fixtures import BitmapState, Block, BlockState, Identity, ImageSpec, Layout, LocatorSpec, encode, flatten, stamp
from tests.support.model import ByteDisk

MIB = 1 << 20
DATA_STATES = {BlockState.FULLY_PRESENT, BlockState.PARTIALLY_PRESENT}
STATES = (
    BlockState.NOT_PRESENT,
    BlockState.UNDEFINED,
    BlockState.ZERO,
    BlockState.UNMAPPED,
    BlockState.FULLY_PRESENT,
    BlockState.PARTIALLY_PRESENT,
    BlockState.PARTIALLY_PRESENT,
)


class Stack:
    """A random chain, base first: what it is made of, and what each layer must show by two judges."""

    def __init__(self, specs, disks):
        self.specs, self.disks = specs, disks

    def __repr__(self):
        """What matters in a failure, and no payload."""
        return "\n".join(f"layer {number}: {_told(spec)}" for number, spec in enumerate(self.specs))

    @property
    def files(self):
        return [encode(spec) for spec in self.specs]

    @property
    def flattened(self):
        return [flatten(self.specs[: number + 1]) for number in range(len(self.specs))]

    def write_to(self, folder):
        """Put the files into a folder and return their paths, base first."""
        paths = [folder / name_of(number) for number in range(len(self.specs))]
        for path, file in zip(paths, self.files, strict=True):
            file.write_to(path)
        return paths


def _told(spec):
    """One layer in words."""
    blocks = "; ".join(
        f"{index} {block.state.name} data {[(at, len(data)) for at, data in block.data.items()]} bits {block.bits}"
        for index, block in spec.blocks.items()
    )
    return f"{spec.size} bytes, blocks of {spec.block_size}, sectors of {spec.logical_sector}: {blocks or 'no blocks'}"


def name_of(number):
    return f"layer{number}.avhdx" if number else "base.vhdx"


@st.composite
def stacks(draw, min_layers=1, max_layers=5, sectors=(512, 4096), max_mib=12):
    """Chains of mixed block sizes, sizes and states."""
    sector = draw(st.sampled_from(sectors))
    count = draw(st.integers(min_layers, max_layers))
    sizes = draw(_sizes(count, sector, max_mib))
    specs, disks = [], []
    for number, size in enumerate(sizes):
        spec, disk = draw(_layers(number, sector, size, specs, disks))
        specs.append(spec)
        disks.append(disk)
    return Stack(tuple(specs), tuple(disks))


@st.composite
def _layers(draw, number, sector, size, specs, disks):
    block_size = draw(st.sampled_from((1, 2, 4, 8))) * MIB
    disk = ByteDisk(size, disks[-1] if disks else None)
    count = -(-size // block_size)
    blocks = {}
    for index in draw(st.lists(st.integers(0, count - 1), unique=True, max_size=6)):
        blocks[index] = draw(_blocks(number, index, block_size, sector, disk))
    locator = None
    if specs:
        locator = LocatorSpec.full(f".\\{name_of(number - 1)}", specs[-1].data_write_guid)
    layout = Layout(
        shuffle=draw(st.none() | st.sampled_from(("a", "b"))),
        gap_mib=draw(st.sampled_from((0, 0, 1, 3))),
        tail_bytes=draw(st.sampled_from((0, 0, 512, 70000))),
    )
    # A block that is partially present needs a bitmap, even one without a single bit.
    needs_bitmap = locator and any(block.state is BlockState.PARTIALLY_PRESENT for block in blocks.values())
    identity = Identity.of(f"stack-{number}", disk="stack")
    spec = ImageSpec(
        size=size,
        identity=identity,
        block_size=block_size,
        logical_sector=sector,
        parent=locator,
        blocks=blocks,
        bitmaps={0: BitmapState.PRESENT} if needs_bitmap else {},
        layout=layout,
    )
    return spec, disk


@st.composite
def _sizes(draw, count, sector, max_mib):
    """Bytes of each layer's disk: all alike, or each of its own; seldom a multiple of a block."""
    size = st.integers(1, max_mib * MIB).map(lambda size: max(sector, size // sector * sector))
    if draw(st.booleans()):
        return [draw(size)] * count
    return draw(st.lists(size, min_size=count, max_size=count))


@st.composite
def _blocks(draw, number, index, block_size, sector, disk):
    """One block, done to the judge's disk as well."""
    state = draw(st.sampled_from(STATES))
    sectors = block_size // sector
    runs = draw(sector_runs(sectors))
    data = {run.start: stamp(index * block_size + run.start * sector, len(run) * sector, number + 1) for run in runs}
    bits = None
    is_child = number > 0
    if state is BlockState.PARTIALLY_PRESENT and is_child and draw(st.booleans()):
        # Bits that say other than where data is: zeros of this file, and stale data that must not show.
        bits = tuple(draw(sector_runs(sectors)))
    elif state is not BlockState.PARTIALLY_PRESENT and is_child and draw(st.booleans()):
        bits = tuple(draw(sector_runs(sectors)))  # stale: nobody may look at them
    _do(disk, state, is_child, index * block_size, block_size, sector, data, bits)
    return Block(state=state, data=data, bits=bits)


def _do(disk, state, is_child, start, block_size, sector, data, bits):
    if state is BlockState.NOT_PRESENT:
        return
    if state is not BlockState.PARTIALLY_PRESENT or not is_child:
        disk.zero(start, block_size)
        if state in DATA_STATES:
            for at, piece in data.items():
                disk.write(start + at * sector, piece)
        return
    content = bytearray(block_size)
    for at, piece in data.items():
        content[at * sector : at * sector + len(piece)] = piece
    marked = [range(at, at + len(piece) // sector) for at, piece in data.items()] if bits is None else bits
    for run in marked:
        disk.write(start + run.start * sector, bytes(content[run.start * sector : run.stop * sector]))


@st.composite
def sector_runs(draw, sectors, most=4):
    """A few runs of sectors of one block, rising and apart."""
    edges = st.integers(0, sectors) | st.sampled_from((0, 1, 63, 64, 65, 127, sectors - 1, sectors))
    found, position = [], 0
    for _ in range(draw(st.integers(0, most))):
        start = draw(edges)
        length = draw(st.integers(1, 70))
        if position <= start < sectors:
            found.append(range(start, min(sectors, start + length)))
            position = found[-1].stop
    return found


@st.composite
def tables(draw, total, layers=3, most=12):
    """(length, kind, layer, file_offset) of runs that cover `total` units, neighbours never mergeable."""
    cuts = sorted(draw(st.sets(st.integers(1, total - 1), max_size=most))) if total > 1 else []
    runs, previous = [], None
    for start, end in zip([0, *cuts], [*cuts, total], strict=True):
        kind = draw(st.integers(0, 4))
        layer = draw(st.integers(0, layers - 1))
        # Few places, so that runs of two tables often stand at the very same one.
        offset = draw(st.sampled_from((0, 100, 200))) + start if kind == 0 else 0
        run = (end - start, kind, layer, offset)
        if previous and previous[1:3] == run[1:3] and (kind or previous[3] + previous[0] == offset):
            runs[-1] = previous = (previous[0] + end - start, *previous[1:])
        else:
            runs.append(run)
            previous = run
    return runs


@st.composite
def layers_upon(draw, stack):
    """Another uppermost layer for a stack of two or more, of the same size: its spec, and the disk that it shows."""
    top = stack.specs[-1]
    return draw(_layers(len(stack.specs) - 1, top.logical_sector, top.size, stack.specs[:-1], stack.disks[:-1]))
