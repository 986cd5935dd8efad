"""A file, a chain, and what is inside the disk: all of their findings, errors alone, or those of one file."""

from contextlib import ExitStack
from enum import Enum
from pathlib import Path

from analyzer.check.cache import FileCache
from analyzer.check.chains import Walk
from analyzer.check.content import check_content
from analyzer.check.file import check_structures
from analyzer.check.result import Checked
from vhdx.chain import Chain
from vhdx.errors import VhdxError, located
from vhdx.findings import Finding, Severity
from vhdx.image import open_image
from vhdx.parents import Search


class Content(Enum):
    """Whether to look at what is inside the disk."""

    SKIP = "skip"
    LOOK = "look"


def check_file(path: Path | str, *, content: Content = Content.SKIP, cache: FileCache | None = None) -> Checked:
    """Everything about one file; never raises for what is in it, or is not.

    The content of a differencing file can be looked at with its parents alone, by `check_chain`.
    """
    where = Path(path)
    with ExitStack() as opened:
        cache = cache or opened.enter_context(FileCache())
        found = cache.findings(where)
        if content is Content.LOOK:
            try:
                with open_image(where, opened=cache.structures) as image:
                    found += () if image.has_parent else tuple(check_content(image))
            except VhdxError:  # the file's own findings say why
                pass
    return Checked(where, found, (where,))


def errors_of_layers(chain: Chain) -> tuple[Finding, ...]:
    """What a check calls an error in any file of a chain that opens: reading it gives bytes that may be wrong.

    Opening looks at what it needs; this looks at all of a file, such as a block table that old log entries contradict.
    What ddrescue has not read is left out: opening says it, and none of it is given out as data.
    """
    found = (located(layer.path, check_structures(layer.structures)) for layer in chain.layers)
    errors = (finding for findings in found for finding in findings if finding.severity is Severity.ERROR)
    return tuple(finding for finding in errors if finding.code != "FID-12")


def check_chain(
    leaf: Path | str, *, search: Search | None = None, content: Content = Content.SKIP, cache: FileCache | None = None
) -> Checked:
    """Everything about a leaf, its parents down to the base, and their links; never raises for what is in them.

    What chains that are checked with the same `cache` share is opened and looked at once.
    """
    where = Path(leaf)
    with ExitStack() as opened:
        walk = Walk(search or Search(), cache or opened.enter_context(FileCache()), opened)
        found = tuple(walk.findings(where))
        if content is Content.LOOK and walk.chain is not None:
            found += tuple(check_content(walk.chain))
    return Checked(where, found, tuple(walk.files))
