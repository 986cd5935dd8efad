"""Folders that lead elsewhere, as Windows has them: entries of a folder are doubles."""

import os
import stat
from types import SimpleNamespace

import pytest

from analyzer.backup.storage.local import LocalPlace
from analyzer.check.files import Depth, files_in
from analyzer.scan.find import find_files
from vhdx.system import files, windows

JUNCTION, CLOUD = 0xA0000003, 0x9000001A


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with others in it that say that they are reparse points of the kind in their name."""
    if os.name == "nt":
        pytest.skip("entries are told apart by numbers, which Windows gives to what is opened alone")
    tags = {"volume": JUNCTION, "again": JUNCTION, "junction": JUNCTION, "cloud": CLOUD}
    for name in [*tags, "plain"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()

    def leads_elsewhere(status):
        return bool(tags_of.get(status.st_ino, 0) & windows.NAME_SURROGATE)

    tags_of = {(tmp_path / name).stat().st_ino: tag for name, tag in tags.items()}
    monkeypatch.setattr(files, "leads_elsewhere", leads_elsewhere)
    monkeypatch.setattr(files, "is_mounted_volume", lambda path: path.name in {"volume", "again"})
    return tmp_path


def test_a_mounted_volume_is_looked_at_once_a_junction_is_told_and_a_folder_of_the_cloud_is_a_folder(tree):
    found = find_files([tree])
    names = {file.path.name for file in found.files}
    assert names == {"again.txt", "cloud.txt", "plain.txt"}
    assert [(path.name, why) for path, why in found.skipped] == [
        ("junction", "it leads to another folder; name that to have it looked at")
    ]


@pytest.mark.parametrize(
    ("mode", "tag", "elsewhere"),
    [(stat.S_IFLNK, 0, True), (stat.S_IFDIR, JUNCTION, True), (stat.S_IFDIR, CLOUD, False), (stat.S_IFDIR, 0, False)],
)
def test_a_link_or_junction_leads_elsewhere_and_no_other_reparse_point(mode, tag, elsewhere):
    assert files.leads_elsewhere(SimpleNamespace(st_mode=mode, st_reparse_tag=tag)) == elsewhere


@pytest.mark.parametrize(
    ("target", "mounted"),
    [("\\\\?\\Volume{8b6b0a2c-1d2e-4f00-9a51-000000000000}\\", True), ("\\\\?\\C:\\VMs", False), ("C:\\VMs", False)],
)
def test_a_volume_is_told_from_a_folder_by_what_its_junction_says(tmp_path, monkeypatch, target, mounted):
    monkeypatch.setattr(windows, "HERE", True)
    monkeypatch.setattr(os, "readlink", lambda _: target)
    assert files.is_mounted_volume(tmp_path) == mounted


@pytest.mark.parametrize(("path", "folder"), [("/C:/backups", "C:/backups"), ("/srv/backups", "/srv/backups")])
def test_a_url_of_a_drive_is_a_folder_on_that_drive(monkeypatch, path, folder):
    monkeypatch.setattr(windows, "HERE", False)
    assert str(files.path_of_url(path)).replace("\\", "/") == path
    monkeypatch.setattr(windows, "HERE", True)
    assert str(files.path_of_url(path)).replace("\\", "/") == folder


def test_neither_a_check_of_a_tree_nor_a_repository_follows_a_junction(tree):
    (tree / "junction" / "away.vhdx").write_bytes(b"vhdxfile")
    (tree / "plain" / "here.vhdx").write_bytes(b"vhdxfile")
    assert [path.name for path in files_in([tree], Depth.TREE)] == ["here.vhdx"]
    assert "junction/away.vhdx" not in {entry.name for entry in LocalPlace(tree).list("")}
