"""`vhdx fixtures`, and `vhdx demo`, which proves a merge on some of them."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

import fixtures
from analyzer.convert.cells import sha256_of
from analyzer.convert.convert import plan_conversion, run_conversion
from analyzer.convert.model import Options, OutputFormat
from analyzer.examine.describe import describe_layers
from cli import output
from cli.options.common import FILE_PATH, json_option, last_or_named
from cli.output import members
from cli.text import plural, safe, size
from fixtures.damage import DAMAGES, write_damaged
from vhdx.chain import Chain, open_chain
from vhdx.errors import OutputError
from vhdx.runs import Kind

DAMAGE = "damage:"


@click.group("fixtures")
def command() -> None:
    """Write known-good and known-bad images, to test programs that read images.

    They are built by code that shares nothing with the reader. Each comes with a manifest.json that states the bytes
    it must read as, or the reason why it must be refused. Damaged ones, `damage:NAME`, are healthy images with one
    change, and their manifest states the findings that a check must report.
    """


@command.command("list")
@click.option("--damaged", is_flag=True, help="List the damaged fixtures instead, each with its findings.")
@json_option
def list_command(damaged: bool) -> None:
    """List the fixtures.

    \b
    Examples:
      vhdx fixtures list
      vhdx fixtures list --damaged
    """
    if not damaged:
        recipes = fixtures.RECIPES.values()
        rows = [{"name": recipe.name, "verdict": recipe.verdict, "summary": recipe.summary} for recipe in recipes]
        width = max(map(len, fixtures.RECIPES))
        lines = [f"{one.name:<{width}}  {one.verdict.name.lower():<4}  {one.summary}" for one in recipes]
        output.answer("fixtures", {"fixtures": rows}, lines)
        return
    damages = [
        {"name": f"{DAMAGE}{one.name}", "findings": sorted(one.codes)}
        | members(one, "recipe", "code", "reach", "summary")
        for one in DAMAGES.values()
    ]
    width = max(map(len, DAMAGES))
    lines = [" ".join([f"{DAMAGE}{one.name:<{width}} ", one.code, *sorted(one.also)]) for one in DAMAGES.values()]
    output.answer("fixtures", {"fixtures": [], "damages": damages}, lines)


@command.command("write")
@click.argument("words", nargs=-1, required=True, metavar="NAME... FOLDER")
@click.option("-o", "--output", "named_out", type=FILE_PATH, metavar="FOLDER", help="The same as FOLDER.")
def write_command(words: tuple[str, ...], named_out: Path | None) -> None:
    """Write fixtures into FOLDER/NAME/.

    `all` writes every one, `damage:all` every damaged one.

    \b
    Examples:
      vhdx fixtures write chain-3 orphan images/
      vhdx fixtures write damage:two-blocks-in-one-place images/
      vhdx fixtures write all images/
    """
    names, folder = last_or_named(words, named_out, "FOLDER")
    everything = {"all": list(fixtures.RECIPES), f"{DAMAGE}all": [f"{DAMAGE}{name}" for name in DAMAGES]}
    wanted = [one for name in names for one in everything.get(name, [name])]
    damages = {f"{DAMAGE}{name}": damage for name, damage in DAMAGES.items()}
    unknown = [name for name in wanted if name not in fixtures.RECIPES and name not in damages]
    if unknown:
        raise click.UsageError(f"there is no fixture {safe(unknown[0])!r}; `vhdx fixtures list` shows them.")
    for name in dict.fromkeys(wanted):  # `all` and a name of its own: each once
        with _existing_refused():
            damage = damages.get(name)
            click.echo(safe(write_damaged(damage, folder) if damage else fixtures.write(name, folder)))


@contextmanager
def _existing_refused() -> Iterator[None]:
    """Fixtures are never written over anything: say it as all commands do."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(Path(str(error.args[-1])), "it exists already", "name another folder") from error


@click.command("demo")
@click.option(
    "--keep", type=FILE_PATH, metavar="DIR", help="Build the chain in DIR and keep it, to try the other commands on."
)
def demo_command(keep: Path | None) -> int:
    """Build a three-layer checkpoint chain, merge it, and prove by hash that nothing was lost.

    The expected hash comes from a model that shares no code with the reader. Everything is deleted afterwards unless
    --keep is given. Exit code 1 when a hash differs.

    \b
    Examples:
      vhdx demo
      vhdx demo --keep /tmp/demo && vhdx info /tmp/demo/*.avhdx
    """
    with ExitStack() as opened:
        folder = keep or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="vhdx-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        built = fixtures.demo()
        with _existing_refused():
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
        for name, digest in (
            ("what the model says", expected),
            ("the chain, as read", read),
            ("the merged disk", written),
        ):
            click.echo(f"sha256  {digest}  {name}")
        equal = expected == read == written
        click.echo("\nall equal: nothing was lost" if equal else "\nTHEY DIFFER: please report this")
        return int(not equal)


def _show(chain: Chain) -> None:
    runs = chain.runs()
    click.echo(f"a disk of {size(chain.size)} in {plural(len(chain.layers), 'layer')}:")
    for layer in describe_layers(chain):
        shown = int(runs.length[(runs.layer == layer.layer) & (runs.kind == Kind.DATA)].sum())
        role = "base" if layer.layer == 0 else f"checkpoint {layer.layer}"
        click.echo(f"  {layer.layer}  {role:<13} {safe(layer.path.name)}")
        click.echo(f"     {size(layer.file_size)} file; the leaf still shows {size(shown)} of its data")
    click.echo()
