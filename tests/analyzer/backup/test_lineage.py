"""Which restore points retention judges together."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from analyzer.backup.forget import Every, plan_by_rules
from analyzer.backup.lineage import lineages
from analyzer.backup.repository.layer_records import LayerRecord
from analyzer.backup.repository.manifest import Effort, Manifest

pytestmark = pytest.mark.slow

TEMPLATE = "11111111-2222-3333-4444-555555555555"
GUIDS = [f"0a1b2c3d-0000-4000-8000-{n:012d}" for n in range(10)]


def record(path, guid):
    return LayerRecord(
        name=path.replace("\\", "/").rpartition("/")[2], path=path, file_size=1 << 20, modified_ns=1, disk_size=1 << 30,
        block_size=1 << 20, disk_id=TEMPLATE, data_write_guid=guid, file_write_guid=guid, log_was_replayed=False,
        headers=(), locator=None, matches=True, claims=(),
    )  # fmt: skip


def point(name, day, *files, host="hv1", disk_id=TEMPLATE, checkpoints=()):
    """`files` are (path, data_write_guid), base first."""
    return Manifest(
        name=name, created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day), tool="t", size=1 << 30,
        chunk_size=1 << 20, logical_sector_size=512, physical_sector_size=4096, block_size=1 << 20, disk_id=disk_id,
        index_sha256="", image_sha256=None, image_sha512_256=None, layer=len(files) - 1,
        chain=tuple(record(*file) for file in files), lost=(), warnings=(), parent=None, checkpoints=checkpoints,
        effort=Effort(read_in_full=None, read_bytes=0, chunks_written=0, bytes_written=0), host=host,
    )  # fmt: skip


class Repository:
    """As far as `forget` looks."""

    def __init__(self, points):
        self.points = list(points)

    def survey(self):
        return self.points, {}


def groups(points):
    found = {}
    for name, lineage in lineages(points).items():
        found.setdefault(lineage, set()).add(name)
    return sorted(found.values(), key=sorted)


def going(points, **rules):
    plan = plan_by_rules(Repository(points), {Every(every): count for every, count in rules.items()})
    return set(plan.going)


def test_copies_of_a_template_are_apart_though_they_share_the_disk_id():
    web, mail = point("web", 0, ("/vms/a/web.vhdx", "g1")), point("mail", 0, ("/vms/b/mail.vhdx", "g2"))
    assert groups([web, mail]) == [{"mail"}, {"web"}]
    assert going([web, mail], daily=7) == set()


def test_one_name_in_two_folders_is_two_disks():
    points = [point("a", 0, ("/vms/a/disk.vhdx", "g")), point("b", 1, ("/vms/b/disk.vhdx", "g"))]
    assert going(points, last=1) == set()


def test_children_of_one_golden_base_are_apart_from_each_other_and_from_it():
    golden = ("/gold/base.vhdx", "g")
    points = [point("gold", 0, golden), point("a", 1, golden, ("/gold/a.avhdx", "a"))]
    assert going(points, last=1) == set()
    points += [point("b", 2, golden, ("/gold/b.avhdx", "b")), point("a2", 3, golden, ("/gold/a.avhdx", "a2"))]
    assert groups(points) == [{"a", "a2"}, {"b"}, {"gold"}]
    assert going(points, last=1) == {"a"}


def test_a_disk_that_was_written_since_is_the_same_disk():
    points = [point(str(day), day, (r"D:\VMs\web\web.vhdx", f"g{day}")) for day in range(5)]
    assert len(groups(points)) == 1
    assert going(points, last=2) == {"0", "1", "2"}


@pytest.mark.parametrize("folder", ["/vms/web/", "D:\\VMs\\web\\", "\\\\nas\\vms\\web\\"])
def test_a_checkpoint_of_hyperv_goes_on_with_its_disk_until_it_is_merged_again(folder):
    base = (f"{folder}web.vhdx", "g")
    points = [point("1", 1, base), point("2", 2, base, (f"{folder}web_{GUIDS[1]}.avhdx", "c1"))]
    points += [point("3", 3, base, (f"{folder}web_{GUIDS[2].upper()}.avhdx", "c2")), point("4", 4, (base[0], "g4"))]
    assert len(groups(points)) == 1
    assert going(points, last=1) == {"1", "2", "3"}


def test_one_place_on_two_hosts_is_two_disks():
    points = [point(host, 0, (r"C:\VMs\web.vhdx", "g"), host=host) for host in ("hv1", "hv2")]
    assert going(points, last=1) == set()


def test_checkpoints_with_names_of_their_own_go_on_in_a_line_and_not_where_they_fork():
    base, one, two = ("/d/base.vhdx", "b"), ("/d/one.avhdx", "o"), ("/d/two.avhdx", "t")
    points = [
        point("1", 1, base, one),
        point("2", 2, base, one, two),
        point("3", 3, base, one, two, ("/d/3.avhdx", "x")),
    ]
    assert groups(points) == [{"1", "2", "3"}]
    assert going(points, last=1) == {"1", "2"}
    points.append(point("fork", 4, base, one, ("/d/other.avhdx", "y")))
    assert {"1"} in groups(points)
    assert going(points, last=1) == {"2"}


def test_points_of_checkpoints_are_in_the_group_of_the_leaf_that_they_were_made_with():
    base, leaf = ("/d/base.vhdx", "b"), ("/d/leaf.avhdx", "l")
    first = [point("base", 1, base), point("leaf", 1, base, leaf, checkpoints=("base",))]
    later = point("later", 2, ("/d/base.vhdx", "merged"), ("/d/leaf.avhdx", "l2"))
    assert going(first, last=1) == set()
    assert going([*first, later], last=1) == {"base", "leaf"}


class Machine:
    """A disk somewhere, which is written to, gets checkpoints, is cloned and copied."""

    def __init__(self, chance, number, files):
        self.chance, self.number, self.files, self.made = chance, number, files, []

    def live(self):
        act = self.chance.choice(["write", "write", "checkpoint", "merge"])
        folder, _, leaf = self.files[-1][0].rpartition("/")
        if act == "checkpoint" and len(self.files) < 4:
            stem = leaf.partition(".")[0].partition("_")[0]
            guid = f"{self.chance.getrandbits(32):08x}-0000-4000-8000-{self.chance.getrandbits(48):012x}"
            named = self.chance.choice([f"{stem}_{guid}", f"{stem}-{self.chance.getrandbits(32):x}"])
            self.files = [*self.files, (f"{folder}/{named}.avhdx", self.guid())]
        elif act == "merge" and len(self.files) > 1 and not self.files[-2][0].startswith("/gold"):
            self.files = [*self.files[:-2], (self.files[-2][0], self.guid())]
        else:
            self.files = [*self.files[:-1], (self.files[-1][0], self.guid())]

    def guid(self):
        return f"{self.chance.getrandbits(64):x}"


def history(seed):
    """Points of machines that share one disk id, with the number of the machine that each is of."""
    chance = random.Random(seed)
    golden = ("/gold/base.vhdx", "gold")
    machines = [Machine(chance, 0, [("/vms/0/disk.vhdx", "first")])]
    points, owner = [], {}
    for day in range(chance.randint(3, 25)):
        for machine in machines:
            if chance.random() < 0.7:
                machine.live()
            if chance.random() < 0.8:
                name = f"{machine.number}-{day}"
                points.append(point(name, day, *machine.files))
                owner[name] = machine.number
        if chance.random() < 0.3 and len(machines) < 6:
            number, source = len(machines), chance.choice(machines)
            clone = [golden, (f"/vms/{number}/disk.avhdx", f"c{number}")]
            copy = [(path.replace(f"/vms/{source.number}/", f"/vms/{number}/"), guid) for path, guid in source.files]
            machines.append(Machine(chance, number, chance.choice([clone, copy])))
    return points, owner


def test_over_500_histories_of_clones_copies_and_chains_no_machine_loses_its_newest_point():
    lost, gone, kept = [], 0, 0
    for seed in range(500):
        points, owner = history(seed)
        rules = {Every.LAST: 1 + seed % 3} if seed % 2 else {Every.DAILY: 1 + seed % 4, Every.WEEKLY: 1}
        plan = plan_by_rules(Repository(points), rules)
        stay = {verdict.point.name for verdict in plan.verdicts if verdict.reasons}
        for machine in set(owner.values()):
            newest = max((one for one in points if owner[one.name] == machine), key=lambda one: one.created)
            lost += [] if newest.name in stay else [(seed, newest.name)]
        for group in groups(points):
            assert group & stay, (seed, group)
        gone, kept = gone + len(plan.going), kept + len(stay)
    assert lost == []
    assert gone > kept  # the rules do give up most of what they see
