"""Windows paths from a stranger, on this machine: where they lead, and where they must not."""

import os
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.files import symbolic_link
from vhdx.paths import Mapping, Refused, locate, match_case, paths_to_parent

posix = pytest.mark.skipif(os.name == "nt", reason="Windows follows its own absolute paths")

REMOTE = [
    "\\\\server\\share\\base.vhdx",
    "//server/share/base.vhdx",
    "\\/server\\share\\base.vhdx",
    "/\\server\\share\\base.vhdx",
    "\\\\?\\UNC\\server\\share\\base.vhdx",
    "\\\\?\\unc\\server\\share\\base.vhdx",
    "//?/UNC/server/share/base.vhdx",
    "\\??\\UNC\\server\\share\\base.vhdx",
    "\\\\.\\UNC\\server\\share\\base.vhdx",
    "UNC\\server\\share\\base.vhdx",
    "\\\\?\\\\\\server\\share\\base.vhdx",
]
DEVICES = [
    "\\\\.\\PhysicalDrive0",
    "//./PhysicalDrive0",
    "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume1\\base.vhdx",
    "\\\\?\\GlobalRoot\\Device\\HarddiskVolume1\\base.vhdx",
    "GLOBALROOT\\Device\\x",
    "con",
    "NUL",
    "nul.vhdx",
    ".\\aux.vhdx",
    "sub\\COM1\\base.vhdx",
    "lpt9.txt",
    "C:\\vm\\con .vhdx",
]
STREAMS = ["base.vhdx:stream", ".\\sub\\x:y\\base.vhdx", "C:\\vm\\base.vhdx:$DATA", "a:b:c", "C:\\D:\\base.vhdx"]
CONTROL = ["base\n.vhdx", "\x00", "a\x1fb\\base.vhdx", "C:\\\t\\base.vhdx", "/vm/\x07.vhdx"]
ROOTED = ["\\vm\\base.vhdx", "\\base.vhdx"]


@pytest.mark.parametrize("path", [*REMOTE, *DEVICES, *STREAMS, *CONTROL, *ROOTED])
@pytest.mark.parametrize("mapped", ["without a map", "with a map of everything"])
def test_a_hostile_path_is_refused_and_says_why(tmp_path, path, mapped):
    mappings = [Mapping.parse(f"C:\\={tmp_path}")] if mapped.startswith("with a") else []
    answer = locate(path, tmp_path, mappings)
    assert isinstance(answer, Refused), answer
    assert answer.path == path
    assert answer.reason


@pytest.mark.parametrize(
    "path",
    [
        ".\\base.vhdx",
        "base.vhdx",
        "./base.vhdx",
        ".\\.\\base.vhdx",
        "sub\\..\\base.vhdx",
        "sub/../base.vhdx",
        ".\\/base.vhdx",
    ],
)
def test_a_relative_path_counts_from_the_childs_folder(tmp_path, path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.vhdx").touch()
    answer = locate(path, tmp_path, ())
    assert answer.samefile(tmp_path / "base.vhdx")


@pytest.mark.parametrize("path", ["..\\base.vhdx", "../base.vhdx", ".\\..\\base.vhdx", "..\\child\\..\\base.vhdx"])
def test_a_path_may_climb(tmp_path, path):
    (tmp_path / "child").mkdir()
    (tmp_path / "base.vhdx").touch()
    assert locate(path, tmp_path / "child", ()).samefile(tmp_path / "base.vhdx")


@pytest.mark.parametrize("path", ["BASE.VHDX", ".\\Sub\\Base.vhdx", "sUB/bASE.vhdX"])
def test_differences_of_case_are_settled_by_the_files_that_exist(tmp_path, path):
    (tmp_path / "sub").mkdir()
    for place in (tmp_path / "base.vhdx", tmp_path / "sub" / "base.vhdx"):
        place.touch()
    assert locate(path, tmp_path, ()).exists()


def test_a_file_of_the_very_name_comes_before_one_that_differs_in_case(tmp_path):
    for name in ("BASE.vhdx", "base.vhdx"):
        (tmp_path / name).touch()
    assert locate("base.vhdx", tmp_path, ()).name == "base.vhdx"
    assert locate("BASE.vhdx", tmp_path, ()).name == "BASE.vhdx"


def test_a_file_that_does_not_exist_still_has_a_place(tmp_path):
    assert locate(".\\gone\\base.vhdx", tmp_path, ()) == tmp_path / "gone" / "base.vhdx"
    assert match_case(tmp_path / "gone") == tmp_path / "gone"


@posix
def test_an_absolute_posix_path_is_followed(tmp_path):
    (tmp_path / "base.vhdx").touch()
    assert locate(str(tmp_path / "base.vhdx"), Path("/elsewhere"), ()) == tmp_path / "base.vhdx"


@posix
@pytest.mark.parametrize(
    "path", ["C:\\vm\\base.vhdx", "\\\\?\\C:\\vm\\base.vhdx", "c:/vm/base.vhdx", "\\??\\C:\\vm\\base.vhdx"]
)
def test_a_drive_of_the_old_host_needs_a_map(tmp_path, path):
    answer = locate(path, tmp_path, ())
    assert isinstance(answer, Refused)
    assert "--map" in answer.reason
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base.vhdx").touch()
    for text in (f"C:\\vm={tmp_path / 'deep'}", f"c:\\VM={tmp_path / 'deep'}", f"\\\\?\\C:\\vm={tmp_path / 'deep'}"):
        assert locate(path, tmp_path, [Mapping.parse(text)]) == tmp_path / "deep" / "base.vhdx"


@posix
def test_a_volume_of_the_old_host_can_be_mapped_too(tmp_path):
    volume = "\\\\?\\Volume{0c5b7a3e-93b1-4d1c-8a0e-5f3d1a2b4c6d}"
    path = f"{volume}\\vm\\base.vhdx"
    assert isinstance(locate(path, tmp_path, ()), Refused)
    assert locate(path, tmp_path, [Mapping.parse(f"{volume}\\vm={tmp_path}")]) == tmp_path / "base.vhdx"


@posix
@pytest.mark.parametrize("step", [1, -1])
def test_the_mapping_that_says_most_of_a_path_counts_whatever_the_order(tmp_path, step):
    one, two = tmp_path / "one", tmp_path / "two"
    mappings = [Mapping.parse(text) for text in (f"D:\\={tmp_path}", f"C:\\vm\\a={one}", f"C:\\vm={two}")][::step]
    assert locate("C:\\vm\\a\\x.vhdx", tmp_path, mappings) == one / "x.vhdx"
    assert locate("C:\\vm\\b\\x.vhdx", tmp_path, mappings) == two / "b" / "x.vhdx"
    assert isinstance(locate("C:\\vmother\\x.vhdx", tmp_path, mappings), Refused)


@posix
def test_a_mapped_path_cannot_climb_out_unseen(tmp_path):
    """`..` below a map stays what it is: Windows would have resolved it, so nothing else is promised than the text."""
    answer = locate("C:\\vm\\..\\secret.vhdx", tmp_path, [Mapping.parse(f"C:\\vm={tmp_path / 'vm'}")])
    assert isinstance(answer, Refused) or ".." in answer.parts


@pytest.mark.parametrize("text", ["", "=", "C:\\vm", "C:\\vm=", "=/mnt"])
def test_a_mapping_needs_both_sides(text):
    with pytest.raises(ValueError, match="WINDOWS=LOCAL"):
        Mapping.parse(text)


def test_a_mapping_is_parsed_at_its_first_equals_sign():
    mapping = Mapping.parse("C:\\VMs=/mnt/a=b")
    assert mapping.local == Path("/mnt/a=b")
    assert mapping.apply("c:\\vms\\X\\y.vhdx") == Path("/mnt/a=b/X/y.vhdx")
    assert mapping.apply("D:\\vms\\y.vhdx") is None


def test_a_name_longer_than_the_system_takes_is_just_not_there(tmp_path):
    for name in ("x" * 300, "x" * 5000, "\\".join(["deep"] * 2000)):
        answer = locate(f".\\{name}", tmp_path, ())
        assert isinstance(answer, Refused) or not os.path.exists(answer)  # noqa: PTH110 - Path.exists raises here


@posix
def test_a_path_through_a_file_or_a_ring_of_links_is_just_not_there(tmp_path):
    (tmp_path / "file").touch()
    symbolic_link(tmp_path / "ring", tmp_path / "ring")
    for path in (".\\file\\base.vhdx", ".\\ring\\base.vhdx", ".\\ring"):
        answer = locate(path, tmp_path, ())
        assert isinstance(answer, Refused) or not os.path.exists(answer)  # noqa: PTH110 - Path.exists raises here


@given(st.text(max_size=40) | st.text("\\/.:?ABCUNC{}~ $\0", max_size=40))
def test_any_text_at_all_leads_to_a_path_or_is_refused(text):
    answer = locate(text, Path("/nowhere/at/all"), ())
    assert isinstance(answer, (Path, Refused))
    if isinstance(answer, Path) and not text.startswith("/") and not answer.drive:
        assert answer.is_relative_to("/nowhere/at/all")


@pytest.mark.parametrize("share", [r"\\FS01\VMs$", r"\\fs01\vms$", r"\\?\UNC\FS01\VMs$", "//FS01/VMs$"])
@pytest.mark.parametrize(
    "path", [r"\\FS01\VMs$\sub\Base.vhdx", r"\\?\UNC\FS01\VMs$\sub\Base.vhdx", "//?/UNC/FS01/VMs$/sub/Base.vhdx"]
)
def test_a_share_is_followed_where_the_user_has_said_where_it_is(tmp_path, share, path):
    assert locate(path, tmp_path, [Mapping.parse(f"{share}={tmp_path}")]) == tmp_path / "sub/Base.vhdx"


@pytest.mark.parametrize("path", [r"\\FS01\VMs$\a.vhdx", r"\\?\UNC\FS01\VMs$\a.vhdx"])
def test_a_share_that_is_not_mapped_is_refused_with_the_option_that_maps_it(tmp_path, path):
    refused = locate(path, tmp_path, [Mapping.parse(f"D:\\={tmp_path}")])
    assert isinstance(refused, Refused)
    assert r"--map '\\FS01\VMs$=/DIR'" in refused.reason


@pytest.mark.parametrize(
    "path", [r"\\FS01\VMs$\a:stream", r"\\FS01\VMs$\con", r"\\FS01\VMs$\a" + "\x01", r"\\.\pipe\a"]
)
def test_what_is_refused_of_a_local_path_is_refused_under_a_mapped_share_too(tmp_path, path):
    assert isinstance(locate(path, tmp_path, [Mapping.parse(rf"\\FS01\VMs$={tmp_path}")]), Refused)


@pytest.mark.parametrize("written", ["Base.vhdx.", "base.vhdx ", "Base.vhdx . "])
def test_dots_and_spaces_at_the_end_of_a_name_count_only_where_a_file_has_them(tmp_path, written):
    (tmp_path / "Base.vhdx").touch()
    assert locate(f".\\{written}", tmp_path, ()).name == "Base.vhdx"
    (tmp_path / written).touch()
    assert locate(f".\\{written}", tmp_path, ()).name == written


def test_a_name_in_another_normal_form_is_the_same_name(tmp_path):
    composed = "Größe Café.vhdx"
    decomposed = tmp_path / unicodedata.normalize("NFD", composed)
    decomposed.touch()
    found = locate(f"D:\\Hyper-V\\{composed}", tmp_path, [Mapping.parse(f"D:\\Hyper-V={tmp_path}")])
    assert found.samefile(decomposed)


@pytest.mark.parametrize(
    ("parent", "folder", "relative", "absolute"),
    [
        (r"C:\VMs\a.vhdx", r"C:\VMs", r".\a.vhdx", r"\\?\C:\VMs\a.vhdx"),
        (r"\\?\C:\VMs\a.vhdx", r"C:\VMs\new", r"..\a.vhdx", r"\\?\C:\VMs\a.vhdx"),
        (r"D:\a.vhdx", r"C:\VMs", None, r"\\?\D:\a.vhdx"),
        (r"\\nas\vm\a.vhdx", r"\\nas\vm\new", r"..\a.vhdx", r"\\?\UNC\nas\vm\a.vhdx"),
        (r"\\?\UNC\nas\vm\a.vhdx", r"\\nas\vm", r".\a.vhdx", r"\\?\UNC\nas\vm\a.vhdx"),
        (r"\\nas\vm\a.vhdx", r"C:\VMs", None, r"\\?\UNC\nas\vm\a.vhdx"),
    ],
)
def test_a_parent_on_windows_has_one_absolute_path_and_a_relative_one_on_its_drive(parent, folder, relative, absolute):
    assert paths_to_parent(PureWindowsPath(parent), PureWindowsPath(folder)) == (relative, absolute)
    led_back = locate(absolute, Path("/"), [Mapping.parse(rf"{PureWindowsPath(parent).drive}\=/here")])
    assert isinstance(led_back, Path)
