"""The bar: 2,000 files, every link right, in under 20 seconds on two cores."""

import time
from pathlib import Path

import pytest

from tests.support.forests import plant


@pytest.mark.slow
def test_two_thousand_files_give_the_right_forest_in_twenty_seconds(vhdx_command, tmp_path):
    planted = plant(tmp_path / "host", files=2000, seed="thousands")
    started = time.monotonic()
    answer = vhdx_command("scan", planted.folder, "--json")
    seconds = time.monotonic() - started
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
    assert seconds < 20
