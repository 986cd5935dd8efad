"""Live logs of the files that a merge changes: its own are applied, of others' it is said how to."""

from pathlib import Path

from analyzer.merge.media import Media, in_place
from analyzer.merge.undoing import identity_of_undo, keeping
from analyzer.remedies import shell_command
from vhdx.chain import Chain
from vhdx.edit.replaying import apply_log
from vhdx.errors import MergeRefusedError
from vhdx.image import Image


def finish_logs(chain: Chain, parent: Path, undo: Path | None = None, media: Media = in_place) -> tuple[Path, ...]:
    """Apply the logs that an interrupted merge into `parent` left live; returns the files, which are to be read anew.

    What they write over in the parent is kept in `undo`, where the merge had one.

    Raises MergeRefusedError for a live log of others, NoSuchLayerError, and what applying one raises.
    """
    layer = chain.layer_of(parent)
    changed = [image for image in chain.layers[layer:] if image.log_was_replayed]
    lower = chain.layers[min(layer + 1, len(chain.layers) - 1)].locator
    is_merging = lower is not None and len(set(lower.linkages)) > 1
    for image in changed:
        if not is_merging and not _is_empty(image):
            command = shell_command(["vhdx", "repair", str(image.path), "--in-place"])
            reason = f"the log of {image.path} holds changes that another program did not finish"
            raise MergeRefusedError(chain.layers[layer].path, reason, f"apply them first with `{command}`")
    for image in changed:
        base = chain.layers[layer]
        known = identity_of_undo(undo, base.path, base.data_write_guid) if undo and image is base else None
        with keeping(base.path, undo, known, media) if undo and known else media(image.path) as medium:
            apply_log(medium)
    return tuple(image.path for image in changed)


def _is_empty(image: Image) -> bool:
    """Whether a live log changes nothing: its session had only begun."""
    return not any(image.log.session[at].descriptor_count for at in image.log.active)
