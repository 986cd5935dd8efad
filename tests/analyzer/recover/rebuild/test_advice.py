"""What the catalogue advises, held against what helps: files with each damage, recovered."""

import pytest

from analyzer.recover.rebuild.job import rebuild_image
from fixtures import write_files
from fixtures.damage import DAMAGES
from vhdx.catalogue import rules
from vhdx.contents import Structures
from vhdx.errors import CorruptFileError
from vhdx.image import open_image
from vhdx.runs import Kind
from vhdx.source import FileSource

pytestmark = pytest.mark.slow

OF_ANOTHER_FORMAT = {"HDR-07", "HDR-08", "REG-11", "MET-10", "MET-19"}
"""Codes of files that say they need a reader which knows more: what is rebuilt without that would be a guess."""
RECOVER = "`vhdx recover FILE -o disk.raw`"


@pytest.fixture
def files(tmp_path):
    """Writes a damage's files and gives the paths of those that are there."""

    def build(name):
        fixture = DAMAGES[name].build()
        write_files(fixture, tmp_path)
        return [path for file in fixture.chain if (path := tmp_path / file).is_file()]

    return build


def refusals(paths):
    """The files that do not open for what they hold, each with the code that says why."""
    for path in paths:
        try:
            open_image(path).close()
        except CorruptFileError as error:
            yield path, error.finding.code


def is_lossy(path):
    """Whether a file opens and a range of its disk cannot be known."""
    try:
        with open_image(path) as image:
            return any(len(table.of_kind(Kind.LOST)) for table in image.windows())
    except CorruptFileError:
        return False


@pytest.mark.parametrize("name", [name for name, damage in DAMAGES.items() if damage.recipe != "vhd"])
def test_recover_is_advised_for_what_does_not_open_just_where_it_brings_an_image_back(name, files):
    for path, code in refusals(files(name)):
        if code in OF_ANOTHER_FORMAT:
            continue
        with FileSource(path) as source:
            brought_back = rebuild_image(Structures(source)).image is not None
        assert (RECOVER in rules()[code].remedy or code == "FID-01") == brought_back, code


@pytest.mark.parametrize("name", DAMAGES)
def test_recover_is_advised_where_a_range_of_the_disk_is_lost(name, files):
    if any(is_lossy(path) for path in files(name)):
        assert RECOVER in rules()[DAMAGES[name].code].remedy


def test_what_says_that_it_needs_another_reader_is_left_to_that():
    assert all("vhdx recover" not in rules()[code].remedy for code in OF_ANOTHER_FORMAT)
