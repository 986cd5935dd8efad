"""What is loaded, and by whom."""

import ast
import subprocess
import sys
from functools import cache

import pytest

from fixtures import write_files
from tests.support.catalogue import fixture_of
from tests.support.files import ROOT

PACKAGES = ("vhdx", "analyzer", "cli", "fixtures")


def loaded_by(code, *arguments):
    """The modules that some code loads in a fresh interpreter: what measures coverage has loaded some before it."""
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.fixture
def small(tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    return str(tmp_path / fixture.leaf)


def test_importing_the_library_loads_no_heavy_module():
    loaded = loaded_by("import vhdx")
    assert not loaded & {"numba", "rich", "click", "llvmlite"}
    assert not {name for name in loaded if name.split(".")[0] in {"analyzer", "cli", "fixtures"}}


def test_importing_a_part_of_the_library_loads_no_other():
    loaded = loaded_by("import vhdx.ranges")
    assert {name for name in loaded if name.startswith("vhdx")} <= {"vhdx", "vhdx.ranges"}
    assert "construct" not in loaded


def test_every_public_name_of_the_library_is_there():
    names = "print(*(name for name in vhdx.__all__ if getattr(vhdx, name).__name__ != name))"
    assert loaded_by(f"import vhdx\n{names}") >= {"vhdx.chain", "vhdx.runs"}


def test_opening_and_reading_a_small_chain_loads_neither_numba_nor_rich(small):
    code = "import vhdx\nwith vhdx.open_chain(sys.argv[1]) as disk: disk.read(0, disk.size); len(disk.runs())"
    assert not loaded_by(code, small) & {"numba", "rich", "click", "llvmlite"}


def test_opening_an_image_loads_neither_numba_nor_rich(small):
    assert not loaded_by("import vhdx\nvhdx.open_image(sys.argv[1]).close()", small) & {"numba", "rich", "click"}


def rooms_loaded_by(*arguments):
    """The rooms of analyzer that a command loads."""
    loaded = loaded_by("from cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass", *arguments)
    return {name.split(".")[1] for name in loaded if name.startswith("analyzer.")}


def test_a_command_loads_the_rooms_that_it_needs(small):
    assert rooms_loaded_by("--help") <= {"text"}
    everywhere = {"text", "remedies"}
    assert rooms_loaded_by("info", small) == everywhere | {
        "address",
        "examine",
        "judgement",
        "nbd",
        "recovery_map",
    }
    assert rooms_loaded_by("explain", "BAT-04") <= everywhere | {"examine"}


def test_a_conversion_loads_neither_repositories_nor_formats_and_structures_that_it_does_not_write(small, tmp_path):
    code = "from cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass"
    loaded = loaded_by(code, "convert", small, str(tmp_path / "out.raw"))
    assert (tmp_path / "out.raw").exists()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("analyzer.")}
    assert not rooms & {"backup", "vhd", "examine", "recover", "diff", "serve", "mount"}
    assert not loaded & {
        *("analyzer.check.check", "analyzer.guest.layouts.detect"),
        *("analyzer.convert.formats.table", "analyzer.convert.new_identity.disk", "analyzer.merge.run"),
        *("importlib.metadata", "socket", "numba", "rich"),
    }


@cache
def tree_of(path):
    """What a file says; the library is asked four questions."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path):
    """Every module that a file imports anywhere in it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_only_one_module_imports_numba():
    named = [path for path in sources() if "numba" in path.read_text(encoding="utf-8")]
    guilty = [
        path.relative_to(ROOT) for path in named if any(each.split(".")[0] == "numba" for each in imports_of(path))
    ]
    assert [path.as_posix() for path in guilty] == ["vhdx/compiling.py"]


def test_the_fixtures_import_nothing_but_the_standard_library_and_themselves():
    for path in sorted((ROOT / "fixtures").rglob("*.py")):
        roots = {name.split(".")[0] for name in imports_of(path)}
        assert roots <= set(sys.stdlib_module_names) | {"fixtures"}, path


def test_the_library_imports_nothing_that_stands_above_it():
    above = {"analyzer", "cli", "fixtures", "tests", "rich", "click"}
    for path in sorted((ROOT / "vhdx").rglob("*.py")):
        assert not {name.split(".")[0] for name in imports_of(path)} & above, path


def test_only_source_sink_and_in_place_open_files():
    """[one module reads files, one writes new ones, one changes them]:
    nobody else calls open, os.open or Path.read_bytes."""
    calls = {"open", "read_bytes", "write_bytes", "read_text", "write_text", "memmap", "fromfile"}
    for path in sorted((ROOT / "vhdx").rglob("*.py")):
        if path.name in {"source.py", "sink.py", "in_place.py"}:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                assert name not in calls, f"{path}:{node.lineno}"


def test_the_library_prints_nothing_and_configures_no_logging():
    for path in sorted((ROOT / "vhdx").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "basicConfig" not in text
        for node in ast.walk(tree_of(path)):
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"), f"{path}:{node.lineno}"
