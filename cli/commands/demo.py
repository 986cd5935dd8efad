"""`vhdx demo`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

import fixtures
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.model import Options, OutputFormat
from analyzer.examine.describe import describe_layers
from analyzer.examine.hash import sha256_of
from cli.options.common import FILE_PATH, quiet_library
from cli.options.output import existing_refused
from cli.text import plural, safe, size
from vhdx.chain import Chain, open_chain
from vhdx.runs import Kind


@click.command("demo")
@click.option(
    "--keep",
    type=FILE_PATH,
    metavar="DIR",
    help="Build the chain in DIR and keep it, to try the other commands on.",
)
def command(keep: Path | None) -> int:  # fmt: skip
    """Build a three-layer checkpoint chain, merge it, and prove by hash that nothing was lost.

    The expected hash comes from a model that shares no code with the reader. Everything is deleted afterwards unless
    --keep is given. Exit code 1 when a hash differs.

    \b
    Examples:
      vhdx demo
      vhdx demo --keep /tmp/demo && vhdx info /tmp/demo/*.avhdx
    """
    quiet_library()
    with _folder(keep) as folder:
        built = fixtures.demo()
        with existing_refused():
            fixtures.write_files(built, folder)
        leaf, target = folder / built.leaf, folder / "standalone.vhdx"
        expected = built.models[built.leaf].sha256()
        with open_chain(leaf) as chain:
            _show(chain)
            read = sha256_of(chain)
            plan = plan_conversion(chain, target, OutputFormat.VHDX, Options())
            run_conversion(plan, chain)
        with open_chain(target) as merged:
            click.echo(f"merged into {safe(target.name)}, {size(merged.leaf.file.size)}, which needs no other file\n")
            written = sha256_of(merged)
        return _prove([("what the model says", expected), ("the chain, as read", read), ("the merged disk", written)])


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="vhdx-demo-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep


def _show(chain: Chain) -> None:
    runs = chain.runs()
    click.echo(f"a disk of {size(chain.size)} in {plural(len(chain.layers), 'layer')}:")
    for layer in describe_layers(chain):
        shown = int(runs.length[(runs.layer == layer.layer) & (runs.kind == Kind.DATA)].sum())
        role = "base" if layer.layer == 0 else f"checkpoint {layer.layer}"
        click.echo(f"  {layer.layer}  {role:<13} {safe(layer.path.name)}")
        click.echo(f"     {size(layer.file_size)} file; the leaf still shows {size(shown)} of its data")
    click.echo()


def _prove(digests: list[tuple[str, str]]) -> int:
    for name, digest in digests:
        click.echo(f"sha256  {digest}  {name}")
    equal = len({digest for _, digest in digests}) == 1
    click.echo("\nall equal: nothing was lost" if equal else "\nTHEY DIFFER: please report this")
    return 0 if equal else 1
