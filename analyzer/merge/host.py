"""What a Hyper-V host still needs once files are merged: what only it can change."""

from collections.abc import Iterator

from analyzer.merge.model import IntoPlan

_TRACKING = (".rct", ".mrt")


def host_steps(plan: IntoPlan) -> Iterator[str]:
    """Sentences, with commands for PowerShell."""
    leaf, parent = plan.sources[-1].name, plan.parent
    if not plan.family.grandchildren:
        which = f"Where-Object {{ (Split-Path $_.Path -Leaf) -eq {_quoted(leaf)} }}"
        place = f"(Join-Path (Split-Path $d.Path) {_quoted(parent.name)})"
        command = f"$d = Get-VM | Get-VMHardDiskDrive | {which}; $d | Set-VMHardDiskDrive -Path {place}"
        yield f"  on the host, a machine that ran on {leaf} must be given {parent.name}: `{command}`"
        yield "  its checkpoints, as the host lists them, still name the merged files"
        grant = f"icacls {_quoted(parent.name)} /grant 'NT VIRTUAL MACHINE\\ID:(F)'"
        yield f"  {parent.name} kept its access rights; is the machine refused (0x80070005), grant its id: `{grant}`"
    for path in (parent.with_name(parent.name + end) for end in _TRACKING):
        if path.exists():
            yield f"  {path} tracks changes of the file as it was: remove it (0xC03A0022), the next backup is full"


def _quoted(text: str) -> str:
    """A text as a literal of PowerShell."""
    return "'" + text.replace("'", "''") + "'"
