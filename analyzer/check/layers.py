"""What is wrong in the files of a chain that opens, for those that read it: no link is followed, no file opened."""

from analyzer.check.file import check_structures
from analyzer.judgement.judge import merged_into
from vhdx.chain import Chain
from vhdx.errors import located
from vhdx.findings import Finding, Severity


def errors_of_layers(chain: Chain) -> tuple[Finding, ...]:
    """What a check calls an error in any file of a chain that opens: reading it gives bytes that may be wrong.

    Opening looks at what it needs; this looks at all of a file, such as a block table that old log entries contradict.
    What ddrescue has not read is left out: opening says it, and none of it is given out as data. So is what a merge in
    its place that is under way leaves without an owner.
    """
    merged, explained = merged_into(chain.layers), {"BAT-19", "BAT-22"}
    return tuple(
        finding
        for number, layer in enumerate(chain.layers)
        for finding in located(layer.path, check_structures(layer.structures))
        if finding.severity is Severity.ERROR
        and finding.code != "FID-12"
        and not (number >= merged and finding.code in explained)
    )
