"""What a check found, printed in the form that was asked for."""

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from analyzer.check.result import Checked
from cli import output
from vhdx.contents import Opener, open_structures
from vhdx.findings import Severity


class Form(Enum):
    """The forms of an answer, by the name that `--format` takes."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    HTML = "html"


def rendered(
    form: Form,
    checked: Sequence[Checked],
    opened: Opener = open_structures,
    *,
    fail_on: Severity | None,
    width: int | None = None,
    known: int = 0,
) -> str:
    """The whole answer. `width` is that of the terminal, None for a pipe; `known` findings a baseline left out.

    A page shows structures too: `opened` gives them.
    """
    match form:
        case Form.TEXT:
            from analyzer.report.findings.text import text_lines

            return "\n".join(text_lines(checked, width=width, known=known))
        case Form.JSON:
            from analyzer.report.findings.documents import check_document

            answer = output.envelope("check") | check_document(checked, known=known)
        case Form.SARIF:
            from analyzer.report.findings.documents import sarif_log

            answer = sarif_log(checked, root=Path(), version=output.version())
        case Form.JUNIT:
            from analyzer.report.findings.junit import junit_xml

            return junit_xml(checked, fail_on=fail_on)
        case Form.HTML:
            from analyzer.report.html.model import report_of_checks
            from analyzer.report.html.page import page

            return page(report_of_checks(checked, output.version(), opened))
    return json.dumps(answer, indent=2, ensure_ascii=True)
