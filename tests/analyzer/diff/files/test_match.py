"""Which file is which, where an inode says nothing of how often it was given away; and odd names in what is told."""

import csv
import io

import pytest

from analyzer.diff.files.find import match_by_identity
from analyzer.guest.extract.names import safe_name
from analyzer.guest.filesystems.record import SLASH, FileKind, FileRecord, FileState, Role, Times
from cli.render.changes_files import _csv_line


def record(name, address, sequence, size, modified):
    return FileRecord(
        volume=1,
        path=f"/{name}",
        address=address,
        sequence=sequence,
        parent=2,
        kind=FileKind.FILE,
        state=FileState.ALLOCATED,
        role=Role.USER,
        size=size,
        times=Times(modified=modified),
    )


@pytest.mark.parametrize(("size", "modified"), [(901, 7), (900, 8)])
def test_an_inode_without_a_generation_that_holds_something_else_is_another_file(size, modified):
    matched = match_by_identity([record("photo", 12, 0, 900, 7)], [record("thesis", 12, 0, size, modified)])
    assert (len(matched.gone), len(matched.come), matched.same) == (1, 1, [])


def test_an_inode_without_a_generation_that_agrees_in_all_was_renamed():
    matched = match_by_identity([record("photo", 12, 0, 900, 7)], [record("picture", 12, 0, 900, 7)])
    assert len(matched.same) == 1


def test_an_inode_of_one_generation_is_one_file_whatever_it_holds():
    matched = match_by_identity([record("photo", 12, 5, 900, 7)], [record("thesis", 12, 5, 901, 8)])
    assert len(matched.same) == 1


def test_a_name_with_a_line_end_is_one_field_of_a_csv():
    line = _csv_line(("created", 1, "/d/\nzz", ""))
    assert list(csv.reader(io.StringIO(line))) == [["created", "1", "/d/\nzz", ""]]
    assert not line.endswith("\n")


def test_a_slash_in_a_name_is_written_as_one():
    assert safe_name("a" + SLASH + "b") == "a%2Fb"
