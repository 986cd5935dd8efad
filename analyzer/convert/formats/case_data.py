"""What an image of evidence says about itself, and whether its digests are taken."""

from dataclasses import dataclass, fields
from enum import Enum
from time import gmtime


class Digests(Enum):
    """Whether the MD5 and the SHA-1 of the whole disk are put into an image, zeros included."""

    TAKEN = "taken"
    NONE = "none"
    """An image without: every chunk still has its checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the examiner says; `acquired` is in seconds since 1970, UTC. Raises ValueError for what breaks a line."""

    case_number: str = ""
    evidence_number: str = ""
    examiner: str = ""
    description: str = ""
    notes: str = ""
    acquired: int = 0

    def __post_init__(self) -> None:
        """Values stand between tabs, on one line."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"{field.name}: {value!r} has characters that cannot be printed on one line")


def header2_text(evidence: Evidence, program: str) -> str:
    """The section header2 of EnCase 4 to 6 ("header2 section values"); it is in UTF-16."""
    values = (
        evidence.description,
        evidence.case_number,
        evidence.evidence_number,
        evidence.examiner,
        evidence.notes,
        "",  # md: the model of the medium
        "",  # sn: its serial number
        program,
        "",  # ov: the system that the medium was acquired on
        str(evidence.acquired),
        str(evidence.acquired),
        "0",  # p: no password
        "",
    )
    main = ("main", "a\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc", "\t".join(values), "")
    sources = ("srce", "0\t1", "p\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq", "0\t0", "\t\t\t\t\t-1\t-1\t\t\t", "")
    subjects = ("sub", "0\t1", "p\tn\tid\tnu\tco\tgu", "0\t0", "\t\t\t\t1\t", "")
    return "\n".join(("3", *main, *sources, *subjects, ""))


def header_text(evidence: Evidence, program: str) -> str:
    """The older section header: what is not ASCII is a question mark there."""
    moment = gmtime(evidence.acquired)
    date = f"{moment.tm_year} {moment.tm_mon} {moment.tm_mday} {moment.tm_hour} {moment.tm_min} {moment.tm_sec}"
    values = (
        evidence.case_number,
        evidence.evidence_number,
        evidence.description,
        evidence.examiner,
        evidence.notes,
        program,
        "",
        date,
        date,
        "0",
    )
    lines = ("1", "main", "c\tn\ta\te\tt\tav\tov\tm\tu\tp", "\t".join(values), "", "")
    return "\r\n".join(lines)
