"""Who is whose parent, and the forest that comes of it: from made-up records, no file is there."""

from pathlib import Path

import pytest

from analyzer.linkage.matching import LinkState
from analyzer.linkage.record import Condition, FileRecord, Place
from analyzer.scan.forest import build_forest
from analyzer.scan.judging import judge
from fixtures.identity import guid


def file(path, *, made_from=None, named=None, was=None, **more):
    """A record of the file `path`, whose identity is its name's, made from the file of the name `made_from`."""
    folder = Path(path).parent
    places = (Place(key="relative_path", text=f".\\{named}", path=folder / named),) if named else ()
    facts = {
        "path": Path(path),
        "identity": guid(Path(path).name),
        "previous_identity": guid(was) if was else None,
        "has_parent": made_from is not None,
        "linkages": (guid(made_from),) if made_from else (),
        "places": places,
        "disk_id": guid("disk"),
    }
    return FileRecord(**(facts | more))


def links(*records):
    found = linked(*records)
    return {path.as_posix(): (link.state, link.parent and link.parent.as_posix()) for path, link in found.items()}


def linked(*records):
    return build_forest(records).links


def codes(*records):
    return sorted(finding.code for finding in judge(build_forest(records), {}))


def shape(*records):
    return [[(member.path.as_posix(), member.depth) for member in tree.members] for tree in build_forest(records).trees]


def test_a_parent_that_stands_where_its_child_says_is_linked_by_path():
    assert links(file("vm/a"), file("vm/b", made_from="a", named="a")) == {"vm/b": (LinkState.BY_PATH, "vm/a")}


def test_a_parent_that_was_moved_is_linked_by_identity():
    assert links(file("old/a"), file("vm/b", made_from="a", named="a")) == {"vm/b": (LinkState.BY_IDENTITY, "old/a")}


def test_of_several_copies_the_one_at_the_childs_own_path_is_taken():
    copy = file("vm/z", identity=guid("a"))
    found = links(file("aaa/a"), copy, file("vm/b", made_from="a", named="z"))
    assert found == {"vm/b": (LinkState.BY_PATH, "vm/z")}


def test_of_several_copies_elsewhere_the_one_beside_the_child_is_taken():
    found = links(file("aaa/a"), file("vm/z", identity=guid("a")), file("vm/b", made_from="a"))
    assert found == {"vm/b": (LinkState.BY_IDENTITY, "vm/z")}


def test_a_true_parent_elsewhere_comes_before_a_stranger_at_the_path():
    stranger = file("vm/a", identity=guid("stranger"), disk_id=guid("other disk"))
    assert links(stranger, file("old/a"), file("vm/b", made_from="a", named="a"))["vm/b"] == (
        LinkState.BY_IDENTITY,
        "old/a",
    )


def test_a_parent_whose_previous_header_has_the_identity_is_a_mismatch_wherever_it_is():
    changed = file("old/x", was="a")
    found = linked(changed, file("vm/b", made_from="a"))[Path("vm/b")]
    assert (found.state, found.parent, found.was_it) == (LinkState.MISMATCH, Path("old/x"), True)


def test_a_file_of_the_same_disk_at_the_path_with_another_identity_is_a_mismatch():
    found = links(file("vm/a", identity=guid("since")), file("vm/b", made_from="a", named="a"))
    assert found == {"vm/b": (LinkState.MISMATCH, "vm/a")}


def test_another_disk_at_the_path_is_no_parent():
    stranger = file("vm/a", identity=guid("stranger"), disk_id=guid("other disk"))
    records = (stranger, file("vm/b", made_from="a", named="a"))
    assert links(*records) == {"vm/b": (LinkState.STRANGER, "vm/a")}
    assert shape(*records) == [[("vm/a", 0)], [("vm/b", 0)]]


def test_a_file_that_cannot_be_read_at_the_path_may_be_the_parent():
    unread = file("vm/a", identity=None, disk_id=None, condition=Condition.UNREADABLE)
    assert links(unread, file("vm/b", made_from="a", named="a")) == {"vm/b": (LinkState.UNKNOWN, "vm/a")}


def test_an_orphan_is_missing_its_parent_and_names_the_gap_once():
    orphans = (file("b", made_from="gone"), file("c", made_from="gone"))
    assert links(*orphans) == {"b": (LinkState.MISSING, None), "c": (LinkState.MISSING, None)}
    assert codes(*orphans) == ["CHN-01", "CHN-01", "CHN-10"]


def test_a_second_linkage_is_told():
    child = file("b", made_from="a", linkages=(guid("gone"), guid("a")))
    assert links(file("a"), child)["b"] == (LinkState.BY_IDENTITY, "a")
    assert codes(file("a"), child) == ["CHN-07"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_circle_is_cut_once_and_every_file_of_it_is_in_one_tree(count):
    records = [file(f"{n}", made_from=f"{(n - 1) % count}") for n in range(count)]
    assert [state for state, _ in links(*records).values()].count(LinkState.LOOP) == 1
    assert len(shape(*records)) == 1
    assert len(shape(*records)[0]) == count
    assert codes(*records) == ["CHN-03"]


def test_what_hangs_on_a_circle_hangs_on_it():
    records = [file("a", made_from="b"), file("b", made_from="a"), file("c", made_from="b"), file("d", made_from="c")]
    assert links(*records)["c"] == (LinkState.BY_IDENTITY, "b")
    assert len(shape(*records)) == 1


def test_names_that_were_exchanged_make_no_circle():
    """The leaf has the base's name: its child by name alone would stand upon itself."""
    leaf = file("base", identity=guid("leaf"), made_from="middle", named="middle")
    middle = file("middle", made_from="gone", named="base")
    assert links(leaf, middle) == {
        "base": (LinkState.BY_PATH, "middle"),
        "middle": (LinkState.MISSING, None),
    }


def test_a_fork_is_one_tree_with_two_leaves_and_a_finding():
    records = (file("a"), file("b", made_from="a"), file("c", made_from="b"), file("d", made_from="a"))
    (tree,) = build_forest(records).trees
    assert [str(leaf.path) for leaf in tree.leaves] == ["c", "d"]
    assert codes(*records) == ["CHN-09"]


def test_a_copied_leaf_is_no_fork():
    records = (file("a"), file("b", made_from="a"), file("z", made_from="a", identity=guid("b")))
    assert codes(*records) == ["CHN-08"]
    assert {str(a): str(b) for a, b in build_forest(records).spare.items()} == {"z": "b"}


def test_the_copy_that_children_use_stands_for_the_others():
    records = (file("a"), file("z", identity=guid("a")), file("vm/b", made_from="a", named="../z"))
    moved = (records[0], records[1], file("b", made_from="a", named="z"))
    assert {str(a): str(b) for a, b in build_forest(moved).spare.items()} == {"a": "z"}


def test_sizes_sectors_and_times_that_differ_are_told():
    base = file("a", disk_size=1, block_size=1, sector_size=512, modified=1000.0)
    child = file("b", made_from="a", disk_size=2, block_size=2, sector_size=4096, modified=0.0)
    assert codes(base, child) == ["CHN-05", "CHN-06", "CHN-06", "CHN-11"]


def test_a_chain_deeper_than_python_may_recurse_is_built_and_told():
    records = [file("0"), *(file(f"{n}", made_from=f"{n - 1}") for n in range(1, 3000))]
    assert len(shape(*records)[0]) == 3000
    assert codes(*records) == ["CHN-04"]


def test_the_order_of_records_does_not_matter():
    records = [
        file("a"),
        *(file(f"x{n}", made_from="a", identity=guid("x")) for n in range(5)),
        file("y", made_from="x"),
    ]
    assert links(*records) == links(*reversed(records))
    assert shape(*records) == shape(*reversed(records))


def test_a_file_without_identity_that_nobody_names_is_not_placed():
    unread = file("a", identity=None, condition=Condition.UNREADABLE)
    forest = build_forest([unread])
    assert (forest.trees, forest.unplaced) == ((), (unread,))


def test_identities_of_zero_are_no_identity():
    assert links(file("a", identity=None), file("b", made_from="a", identity=None))["b"] == (LinkState.MISSING, None)


def test_of_copies_elsewhere_the_one_that_other_children_use_is_taken():
    copy = file("aaa/a", identity=guid("a"))
    records = (copy, file("vm/a"), file("vm/b", made_from="a", named="a"), file("moved/c", made_from="a"))
    assert links(*records)["moved/c"] == (LinkState.BY_IDENTITY, "vm/a")


def test_a_writer_that_gives_every_child_its_own_disk_id_makes_no_strangers():
    parent = file("vm/a", identity=guid("since"), disk_id=guid("its own"))
    child = file("vm/b", made_from="a", named="a", creator=".NET DiscUtils")
    assert links(parent, child) == {"vm/b": (LinkState.MISMATCH, "vm/a")}
