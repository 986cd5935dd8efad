"""Image, map and account get their names: at no moment does a map stand beside an image that is not its own."""

from collections.abc import Sequence

from vhdx.errors import VhdxError
from vhdx.sink import Sink


def name_anew(image: Sink, papers: Sequence[Sink]) -> None:
    """Name what was written anew, all of it whole already: the older image goes, the papers come, the image comes last.

    So there is never an image without its map, and wherever a crash ends this, no map is left that an image of another
    run could be read by. An interruption is raised when all is named, for the older image is gone. Raises what
    `Sink.commit` does; the papers are taken back then, and the image is left under its temporary name.
    """
    image.keep()
    try:
        _finish(image, papers)
    # The older image is gone by now. To stop here would leave nothing under its name, so the naming is finished
    # first.
    except (KeyboardInterrupt, SystemExit):
        _finish(image, papers)
        raise


def _finish(image: Sink, papers: Sequence[Sink]) -> None:
    if not image.path.exists():  # it has its name, and so have the papers
        return
    image.remove_older()
    named: list[Sink] = []
    try:
        # The image last: while it has no name, a map beside that name belongs to nothing, and nothing is read by it.
        for sink in (*papers, image):
            if sink.path.exists():
                sink.commit()
            named.append(sink)
    except VhdxError:
        for sink in named:
            sink.target.unlink(missing_ok=True)
        raise


def name_again(image: Sink, papers: Sequence[Sink]) -> None:
    """Name what goes on with an earlier output: the earlier map is true of the new image, too, until the new one comes.

    All that it has as known was taken over. Raises what `Sink.commit` does.
    """
    for sink in (image, *papers):
        sink.commit()
