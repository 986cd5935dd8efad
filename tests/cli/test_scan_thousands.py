"""The bar: 2,000 files, every link right, and work that grows with their number and no faster."""

from pathlib import Path

import pytest

from tests.support.effort import calls_of
from tests.support.forests import plant

pytestmark = pytest.mark.slow

FILES = 2000
FEW = 200


def test_two_thousand_files_give_the_right_forest(vhdx_command, tmp_path):
    planted = plant(tmp_path / "host", files=FILES, seed="thousands")
    answer = vhdx_command("scan", planted.folder, "--json")
    assert answer.code == 1
    members = [member for tree in answer.json["trees"] for member in tree["members"]]
    links = {member["path"]: member["link"] for member in members}
    assert {path: link and link["state"] for path, link in links.items()} == {
        str(path): state for path, state in planted.states.items()
    }
    identities = {member["path"]: member["data_write_guid"] for member in members}
    for member in members:  # a copy stands for its original: the one that is nearer to the child is taken
        parent = planted.parents[Path(member["path"])]
        assert identities.get(member["parent"]) == (parent and identities[str(parent)])
    assert {record["path"] for record in answer.json["unplaced"]} == {str(path) for path in planted.unreadable}


def test_the_work_for_each_file_is_bounded_and_does_not_grow_with_their_number(vhdx_command, tmp_path):
    # To count calls takes ten times as long as the scan: so few files, twice, and what one more of them costs.
    calls = []
    for files in (FEW, 2 * FEW):
        planted = plant(tmp_path / f"host{files}", files=files, seed="thousands")
        counted, answer = calls_of(lambda folder=planted.folder: vhdx_command("scan", folder, "--json"))
        assert answer.code == 1
        calls.append(counted)
    assert calls[1] - calls[0] < 10_000 * FEW  # 7,800 of each
