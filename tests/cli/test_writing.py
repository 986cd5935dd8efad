"""Commands that write an image: convert, merge, create."""

import errno
import hashlib
import os
from types import SimpleNamespace

import pytest

import vhdx
from analyzer.convert import convert
from analyzer.convert.model import OutputFormat
from tests.support.command_line import contents
from tests.support.files import symbolic_link
from vhdx.sink import Sink


def digest(path):
    with vhdx.open_chain(path) as disk:
        return hashlib.sha256(disk.read(0, disk.size)).hexdigest()


@pytest.mark.parametrize("extra", [[], ["--no-verify"], ["--block-size", "1M"], ["--fixed"]])
def test_merge_gives_the_disk_that_the_leaf_shows(vhdx_command, chain, tmp_path, extra):
    leaf, fixture = chain
    before = contents(leaf.parent)
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx", *extra)
    assert answer.code == 0
    assert digest(tmp_path / "out.vhdx") == fixture.models[fixture.leaf].sha256()
    assert contents(leaf.parent) == before
    assert ("not read back" in answer.out) == ("--no-verify" in extra)


def test_merge_on_a_base_keeps_the_base_and_joins_what_is_above_it(vhdx_command, chain):
    leaf, fixture = chain
    base = leaf.parent / "vm.vhdx"
    target = leaf.parent / "joined.avhdx"
    told = vhdx_command("merge", leaf, target, "--base", base, "--json").json["output"]
    assert told["layers"] == 2
    with vhdx.open_chain(target) as disk:
        assert [layer.path.name for layer in disk.layers] == ["vm.vhdx", "joined.avhdx"]
    assert digest(target) == fixture.models[fixture.leaf].sha256()


def test_merge_on_a_file_that_is_no_layer_or_the_leaf_is_refused(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    assert vhdx_command("merge", leaf, tmp_path / "out.avhdx", "--base", tmp_path / "other.vhdx").code == 2
    assert vhdx_command("merge", leaf, tmp_path / "out.avhdx", "--base", leaf).code == 2


def test_a_seed_makes_the_output_reproducible_byte_for_byte(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    for name in ("first.vhdx", "second.vhdx"):
        assert vhdx_command("merge", leaf, tmp_path / name, "--seed", "monday").code == 0
    vhdx_command("merge", leaf, tmp_path / "third.vhdx", "--seed", "tuesday")
    first, second, third = ((tmp_path / f"{name}.vhdx").read_bytes() for name in ("first", "second", "third"))
    assert first == second
    assert first != third


@pytest.mark.parametrize("name", ["out.raw", "out.img", "out.vhdx"])
def test_convert_takes_the_format_from_the_name(vhdx_command, chain, tmp_path, name):
    leaf, fixture = chain
    told = vhdx_command("convert", leaf, tmp_path / name, "--json").json["output"]
    assert told["format"] == ("vhdx" if name.endswith("vhdx") else "raw")
    assert told["verified"] is True
    path = tmp_path / name
    found = digest(path) if told["format"] == "vhdx" else hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == fixture.models[fixture.leaf].sha256()


IMAGES = {"out.qcow2": "qcow2", "out.vhd": "vhd", "out.vmdk": "vmdk", "out.raw.zst": "raw.zst", "out.E01": "e01"}


@pytest.mark.parametrize("command", ["convert", "merge"])
@pytest.mark.parametrize("name", IMAGES)
def test_images_of_other_formats_are_written_by_name(vhdx_command, chain, tmp_path, command, name):
    leaf, _ = chain
    before = contents(leaf.parent)
    told = vhdx_command(command, leaf, tmp_path / name, "--json").json["output"]
    assert (told["format"], told["verified"]) == (IMAGES[name], True)
    assert (tmp_path / name).stat().st_size == told["file_size"]
    assert contents(leaf.parent) == before


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["out.qcow2", "--compress"], "qcow2"),
        (["out.qcow2", "--zstd"], "qcow2"),
        (["out.vhd", "--azure"], "vhd-azure"),
        (["out", "--format", "vhd-fixed"], "vhd-fixed"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "merge"])
def test_options_choose_among_images(vhdx_command, chain, tmp_path, command, extra, expected):
    name, *options = extra
    assert vhdx_command(command, chain[0], tmp_path / name, *options, "--json").json["output"]["format"] == expected


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["convert", "out.vhd", "--compress"], 5),
        (["convert", "out.raw", "--zstd"], 5),
        (["convert", "out.qcow2", "--block-size", "1M"], 2),
        (["convert", "out.qcow2", "--azure", "--format", "qcow2"], 2),
        (["convert", "out.vhdx", "--azure"], 2),
        (["merge", "out.VHDX", "--azure"], 2),
        (["convert", "out.raw", "--azure"], 2),
        (["convert", "-", "--compress"], 2),
        (["convert", "out.qcow2", "--compress", "--zstd"], 2),
        (["merge", "out.qcow2", "--zstd", "--compress"], 2),
        (["merge", "out.qcow2", "--fixed", "--format", "qcow2"], 2),
        (["merge", "out.qcow2", "--base", "vm.vhdx"], 2),
        (["merge", "-", "--azure"], 2),
    ],
)
def test_options_that_do_not_go_together_are_refused(vhdx_command, chain, tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    command, out, *options = arguments
    assert vhdx_command(command, chain[0], out, *options).code == code
    assert contents(tmp_path) == before


@pytest.mark.parametrize("form", [form.value for form in OutputFormat])
def test_the_format_that_json_tells_is_the_one_that_format_takes(vhdx_command, chain, tmp_path, form):
    name = "image.E01" if form == "e01" else "image"  # an E01 is a set of files, and says so in its name
    told = vhdx_command("convert", chain[0], tmp_path / name, "--format", form, "--json").json["output"]
    assert told["format"] == form


def test_a_raw_output_is_sparse(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    vhdx_command("convert", leaf, tmp_path / "out.raw")
    status = (tmp_path / "out.raw").stat()
    if not hasattr(status, "st_blocks"):
        pytest.skip("this system does not tell what a file takes on its disk")
    assert status.st_blocks * 512 < status.st_size // 4


def test_a_name_that_tells_no_format_asks_for_one(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    answer = vhdx_command("convert", leaf, tmp_path / "out.xyz")
    assert answer.code == 5
    assert "--format" in answer.err
    assert vhdx_command("convert", leaf, tmp_path / "out.xyz", "--format", "raw").code == 0


def test_an_existing_target_needs_force(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    target = tmp_path / "out.vhdx"
    target.write_text("precious")
    answer = vhdx_command("merge", leaf, target)
    assert answer.code == 5
    assert "--force" in answer.err
    assert target.read_text() == "precious"
    assert vhdx_command("merge", leaf, target, "--force").code == 0


@pytest.mark.parametrize("link", ["itself", "symlink", "hard link"])
def test_a_target_that_is_a_source_is_refused_even_with_force(vhdx_command, chain, tmp_path, link):
    leaf, _ = chain
    base = leaf.parent / "vm.vhdx"
    target = {"itself": base, "symlink": tmp_path / "symbolic.vhdx", "hard link": tmp_path / "hard.vhdx"}[link]
    if link == "symlink":
        symbolic_link(target, base)
    if link == "hard link":
        target.hardlink_to(base)
    before = contents(leaf.parent)
    answer = vhdx_command("merge", leaf, target, "--force")
    assert answer.code == 5
    assert "source" in answer.err
    assert contents(leaf.parent) == before


def test_a_part_file_of_somebody_else_is_left_alone(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    part = tmp_path / "out.vhdx.part"
    part.write_text("another run")
    assert vhdx_command("merge", leaf, tmp_path / "out.vhdx").code == 5
    assert part.read_text() == "another run"


def test_a_folder_that_is_not_there_is_named(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    answer = vhdx_command("merge", leaf, tmp_path / "nowhere/out.vhdx")
    assert answer.code == 5
    assert "folder" in answer.err


def test_too_little_space_is_forecast_before_a_byte_is_written(vhdx_command, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx")
    assert answer.code == 5
    assert "free" in answer.err
    assert list(tmp_path.glob("out*")) == []


def test_a_disk_that_fills_up_leaves_nothing_behind(vhdx_command, chain, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    leaf, _ = chain
    monkeypatch.setattr(os, "pwrite" if hasattr(os, "pwrite") else "write", full)
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx")
    assert answer.code == 5
    assert "full" in answer.err
    assert list(tmp_path.glob("out*")) == []


def test_an_interrupt_leaves_no_half_written_target_and_says_so(vhdx_command, chain, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    leaf, _ = chain
    monkeypatch.setattr("vhdx.writer.VhdxWriter.place", interrupted)
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx")
    assert answer.code == 130
    assert "no unfinished output was kept" in answer.err
    assert list(tmp_path.glob("out*")) == []


def test_what_does_not_read_back_is_removed(vhdx_command, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    numbers = iter(range(1000))
    monkeypatch.setattr("analyzer.convert.copying.crc32c", lambda _: next(numbers))
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx")
    assert answer.code == 6
    assert "read back" in answer.err
    assert list(tmp_path.glob("out*")) == []


def test_what_is_lost_is_not_converted(vhdx_command, built, tmp_path):
    leaf, _ = built("block-truncated")
    answer = vhdx_command("convert", leaf, tmp_path / "out.raw")
    assert answer.code == 3
    assert "cannot be known" in answer.err
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("block_size", ["3M", "512K", "512M", "0"])
def test_a_block_size_that_does_not_exist_is_refused(vhdx_command, chain, tmp_path, block_size):
    leaf, _ = chain
    assert vhdx_command("convert", leaf, tmp_path / "out.vhdx", "--block-size", block_size).code == 5


@pytest.mark.parametrize(
    ("extra", "kind"), [([], "dynamic"), (["--fixed"], "fixed"), (["--logical-sector", "4096"], "dynamic")]
)
def test_create_makes_an_empty_disk(vhdx_command, tmp_path, extra, kind):
    told = vhdx_command("create", tmp_path / "new.vhdx", "--size", "16M", *extra, "--json").json["output"]
    assert told["type"] == kind
    with vhdx.open_chain(tmp_path / "new.vhdx") as disk:
        assert disk.size == 16 << 20
        assert not any(disk.read(0, disk.size))


def test_create_makes_a_child_that_shows_its_parent(vhdx_command, chain):
    leaf, fixture = chain
    child = leaf.parent / "child.avhdx"
    assert vhdx_command("create", child, "--parent", leaf).code == 0
    assert digest(child) == fixture.models[fixture.leaf].sha256()


@pytest.mark.parametrize("arguments", [[], ["--size", "0"], ["--size", "65T"], ["--size", "1000"], ["--size", "many"]])
def test_create_refuses_a_disk_that_cannot_be(vhdx_command, tmp_path, arguments):
    answer = vhdx_command("create", tmp_path / "new.vhdx", *arguments)
    assert answer.code in {2, 5}
    assert list(tmp_path.iterdir()) == []


def test_an_ancestor_of_the_named_parent_is_a_source_too(vhdx_command, chain):
    leaf, _ = chain
    before = contents(leaf.parent)
    answer = vhdx_command("create", leaf.parent / "vm.vhdx", "--parent", leaf, "--force")
    assert answer.code == 5
    assert "source" in answer.err
    assert contents(leaf.parent) == before


def test_a_source_that_changes_while_it_is_read_is_noticed(vhdx_command, chain, tmp_path, monkeypatch):
    leaf, _ = chain
    verify = convert.verify_cells

    def meddle(*arguments):
        with leaf.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"x")
        os.utime(leaf, ns=(1, 1))
        return verify(*arguments)

    monkeypatch.setattr(convert, "verify_cells", meddle)
    answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx")
    assert answer.code == 6
    assert "was changed while it was read" in answer.err
    assert list(tmp_path.glob("out*")) == []


def test_a_differencing_output_names_what_it_is_laid_upon(vhdx_command, chain):
    leaf, _ = chain
    base = leaf.parent / "vm.vhdx"
    assert str(base) in vhdx_command("merge", leaf, leaf.parent / "a.avhdx", "--base", base).out
    told = vhdx_command("merge", leaf, leaf.parent / "b.avhdx", "--base", base, "--json").json["output"]
    assert told["parent"] == str(base)


@pytest.mark.parametrize("arguments", [["merge", "LEAF", "-"], ["create", "-", "--size", "1M"]])
def test_what_only_takes_a_vhdx_refuses_stdout_and_raw_names(vhdx_command, chain, tmp_path, monkeypatch, arguments):
    leaf, _ = chain
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert vhdx_command(*(leaf if word == "LEAF" else word for word in arguments)).code == 2
    assert contents(tmp_path) == before


@pytest.mark.parametrize("arguments", [["out.raw"], ["out.bin"], ["out", "--format", "raw"]])
def test_a_merge_writes_a_raw_image_as_convert_does(vhdx_command, chain, tmp_path, arguments):
    leaf, fixture = chain
    out = tmp_path / arguments[0]
    assert vhdx_command("merge", leaf, out, *arguments[1:]).code == 0
    model = fixture.models[fixture.leaf]
    assert out.read_bytes() == model.read(0, model.size)


def test_a_raw_image_has_no_blocks(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    assert vhdx_command("convert", leaf, tmp_path / "out.raw", "--block-size", "1M").code == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows locks by being open")
def test_force_does_not_take_the_output_of_a_run_that_is_going_on(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    with Sink(tmp_path / "out.vhdx"):
        answer = vhdx_command("merge", leaf, tmp_path / "out.vhdx", "--force")
    assert answer.code == 5
    assert "another run" in answer.err
    (tmp_path / "out.vhdx.part").write_text("left over by a run that was killed")
    assert vhdx_command("merge", leaf, tmp_path / "out.vhdx", "--force").code == 0


def test_the_demo_and_fixtures_do_not_write_over_anything(vhdx_command, tmp_path):
    (tmp_path / "vm.vhdx").write_text("precious")
    answer = vhdx_command("demo", "--keep", tmp_path)
    assert answer.code == 5
    assert "vm.vhdx" in answer.err
    assert (tmp_path / "vm.vhdx").read_text() == "precious"
