"""The sections header and header2 of an E01: what the image says about itself."""

from time import gmtime

from analyzer.convert.model import CaseData


def header2_text(case: CaseData, program: str) -> str:
    """The section header2 of EnCase 4 to 6 ("header2 section values"); it is in UTF-16."""
    values = (
        case.description,
        case.case_number,
        case.evidence_number,
        case.examiner,
        case.notes,
        "",  # md: the model of the medium
        "",  # sn: its serial number
        program,
        "",  # ov: the system that the medium was acquired on
        str(case.acquired),
        str(case.acquired),
        "0",  # p: no password
        "",
    )
    main = ("main", "a\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc", "\t".join(values), "")
    sources = ("srce", "0\t1", "p\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq", "0\t0", "\t\t\t\t\t-1\t-1\t\t\t", "")
    subjects = ("sub", "0\t1", "p\tn\tid\tnu\tco\tgu", "0\t0", "\t\t\t\t1\t", "")
    return "\n".join(("3", *main, *sources, *subjects, ""))


def header_text(case: CaseData, program: str) -> str:
    """The older section header: what is not ASCII is a question mark there."""
    moment = gmtime(case.acquired)
    date = f"{moment.tm_year} {moment.tm_mon} {moment.tm_mday} {moment.tm_hour} {moment.tm_min} {moment.tm_sec}"
    values = (
        case.case_number,
        case.evidence_number,
        case.description,
        case.examiner,
        case.notes,
        program,
        "",
        date,
        date,
        "0",
    )
    lines = ("1", "main", "c\tn\ta\te\tt\tav\tov\tm\tu\tp", "\t".join(values), "", "")
    return "\r\n".join(lines)
