"""`vhdx explain`."""

from collections.abc import Sequence

import click

from analyzer.examine.explain import explain
from cli import output
from cli.options.common import json_option
from cli.text import facts, line_width
from vhdx.catalogue import Rule, WindowsCode, rules, windows_codes


# Windows shows codes as negative numbers too
@click.command("explain", context_settings={"ignore_unknown_options": True})
@click.argument("codes", nargs=-1, metavar="CODE...")
@json_option
def command(codes: Sequence[str]) -> int:
    """Explain a finding code, or an error code of Windows.

    What it means, its cause, what to do, and which command does it. Codes of Windows may be written as it shows them:
    0xC03A000E, -1069940722 or ERROR_VHD_CHILD_PARENT_ID_MISMATCH. Without a code all are listed.

    \b
    Examples:
      vhdx explain BAT-04
      vhdx explain 0xC03A000E
      vhdx explain | grep -i parent
    """
    answers = [explain(code) for code in codes]
    if output.is_json():
        output.emit("explain", {"codes": answers or [*rules().values(), *windows_codes().values()]})
    elif answers:
        click.echo("\n\n".join(_page(answer) for answer in answers))
    else:
        output.emit_lines([f"{rule.code:10}  {rule.title}" for rule in rules().values()])
        output.emit_lines([f"{entry.code:10}  {entry.name}" for entry in windows_codes().values()])
    return 0


def _page(answer: Rule | WindowsCode) -> str:
    if isinstance(answer, Rule):
        pairs = [("severity", f"{answer.severity.name.lower()} at worst"), ("means", answer.meaning)]
        pairs += [("cause", answer.cause), ("what to do", answer.remedy)]
        pairs += [("[MS-VHDX]", answer.section)] if answer.section else []
        pairs += [("Windows", f"{answer.windows} {windows_codes()[answer.windows].name}")] if answer.windows else []
        return f"{answer.code}  {answer.title}\n{facts(pairs, line_width())}"
    related = [f"{code} {rules()[code].title}" for code in answer.findings]
    pairs = [("means", answer.meaning), ("what to do", answer.remedy), ("findings", "\n".join(related) or "none")]
    return f"{answer.code}  {answer.name}\n{facts(pairs, line_width())}"
