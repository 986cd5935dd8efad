"""Maps of ddrescue among the inputs of a recovery: each is taken for the file that it is of, or the user is asked."""

import pytest

from analyzer.recover.inputs.open_file import UnclearMapError, take_maps
from tests.vhdx.test_source_maps import KIB, a_file, map_text
from vhdx.ranges import Range, Ranges
from vhdx.source_map import BESIDE


@pytest.fixture
def named(tmp_path):
    """Two files of one length, and a map that could be of either."""
    files = tuple(a_file(tmp_path, name) for name in ("disk.vhdx", "other.vhdx"))
    place = tmp_path / "monday.log"
    place.write_text(map_text(files[0].stat().st_size, Ranges.of([Range(0, 4 * KIB)])))
    return files, place


def test_a_map_that_fits_several_files_and_names_none_is_asked_about(named):
    files, place = named
    with pytest.raises(UnclearMapError) as caught:
        take_maps((*files, place), BESIDE)
    assert (caught.value.path, caught.value.files) == (place, files)
    assert "--source-map FILE=MAP" in str(caught.value)


def test_a_map_is_of_the_file_that_its_command_line_names(named):
    files, place = named
    place.write_text(place.read_text().replace("/dev/sdb1", "/mnt/old/other.vhdx"))
    assert take_maps((place, *files), BESIDE)[1].given == ((files[1], place),)


def test_a_map_is_of_the_file_whose_name_its_own_begins_with(named, tmp_path):
    files, place = named
    place = place.rename(tmp_path / "other.vhdx-monday")
    assert take_maps((place, *files), BESIDE) == (files, type(BESIDE)(((files[1], place),)))


def test_a_map_is_of_the_one_file_that_it_fits_whatever_its_names(named):
    files, place = named
    assert take_maps((files[0], place), BESIDE)[1].given == ((files[0], place),)


def test_a_map_that_fits_no_file_is_said(named):
    files, place = named
    with files[0].open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(UnclearMapError, match="fits none of the files named"):
        take_maps((files[0], place), BESIDE)
