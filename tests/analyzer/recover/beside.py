"""`python -m tests.analyzer.recover.beside VHDX JUDGE NAME...`: whole files that come back, beside PhotoRec and e2fsck.

JUDGE is the program that makes the cases (its `Run` unpacks one), VHDX the tool. PhotoRec looks through the damaged
files; TestDisk copies what it lists of them, or of the image that `vhdx recover` wrote, whichever is more; e2fsck mends
that image, where it holds an ext, and debugfs takes its files out. A file counts once it is there with all of its
bytes, under any name; of PhotoRec's also where more follows, for it guesses ends.
"""

import importlib.util
import json
import lzma
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

HEADER = (
    "| case | files | `vhdx recover`, `extract` | e2fsck, debugfs | TestDisk | PhotoRec |\n|---|---|---|---|---|---|"
)
MOST_VOLUMES = 6
TABLES = ("none", "i386", "gpt")
"""Of partitions, by TestDisk's names: it is asked for each."""
_PLAIN = os.environ | {"TERM": "dumb"}


def run(*command, folder):
    command = list(map(str, command))
    return subprocess.run(
        command, cwd=folder, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=_PLAIN
    ).returncode


def contents_below(folder):
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def whole(folder, wanted):
    """How many of the files, {name: hash}, are below a folder."""
    found = {sha256(content).hexdigest() for content in contents_below(folder)}
    return sum(digest in found for digest in wanted.values())


def whole_in_front(folder, wanted, lengths):
    """As `whole`, where more may follow in a file: what begins like one of these lengths is looked at."""
    found = set()
    for content in contents_below(folder):
        found |= {sha256(content[:length]).hexdigest() for length in lengths if length <= len(content)}
    return sum(digest in found for digest in wanted.values())


def by_vhdx(tool, folder, inputs, wanted):
    run(tool, "recover", *inputs, "-o", folder / "r.raw", folder=folder)
    (folder / "x").mkdir()
    for volume in range(1, MOST_VOLUMES + 1):
        run(tool, "extract", folder / "r.raw", f"{volume}:/", "-o", folder / "x" / str(volume), folder=folder)
    return whole(folder / "x", wanted)


def by_e2fsck(folder, wanted):
    """What e2fsck makes of the recovered image; None where it finds no superblock."""
    image = folder / "e.raw"
    if not (folder / "r.raw").exists():
        return None
    run("cp", "--sparse=always", folder / "r.raw", image, folder=folder)
    if run("e2fsck", "-fy", image, folder=folder) >= 8:
        return None
    (folder / "e").mkdir()
    run("debugfs", "-R", f"rdump / {folder / 'e'}", image, folder=folder)
    return whole(folder / "e", wanted)


def by_photorec(folder, inputs, wanted, lengths):
    (folder / "p").mkdir()
    for number, path in enumerate(inputs):
        what = "partition_none,fileopt,everything,enable,search"
        run("photorec", "/d", folder / "p" / f"found{number}", "/cmd", path, what, folder=folder / "p")
    return whole_in_front(folder / "p", wanted, lengths)


def by_testdisk(folder, inputs, wanted):
    """What it copies of each file, or of the recovered image, under the table of partitions that gives most."""
    images = [path for path in (*inputs, folder / "r.raw") if path.exists()]
    most = 0
    for image in images:
        for table in TABLES:
            with TemporaryDirectory(dir=folder) as copies:
                run("testdisk", "/cmd", image, f"partition_{table},advanced,list,filecopy", folder=copies)
                most = max(most, whole(Path(copies), wanted))
    return most


def row(tool, judge, case):
    with TemporaryDirectory() as root:
        folder = Path(root)
        prepared = judge.Run(case, [tool], root)
        prepared.prepare()
        inputs = [folder / "in" / each["file"] for each in case["inputs"]]
        inputs = [path for path in inputs if path.suffix in {".vhdx", ".avhdx"}]
        with lzma.open(Path(judge.HERE, case["name"], case["files"])) as file:
            wanted = json.load(file)
        ours = by_vhdx(tool, folder, inputs, wanted)
        lengths = lengths_of(tool, folder, judge, case)
        mended = by_e2fsck(folder, wanted)
        copied, carved = by_testdisk(folder, inputs, wanted), by_photorec(folder, inputs, wanted, lengths)
        mended = "-" if mended is None else mended
        return f"| {case['name']} | {len(wanted)} | {ours} | {mended} | {copied} | {carved} |"


def lengths_of(tool, folder, judge, case):
    """The lengths of the files, as they are on the healthy disk."""
    run(tool, "extract", folder / "truth.raw", "/", "-o", folder / "t", folder=folder)
    found = {len(content) for content in contents_below(folder / "t")}
    shutil.rmtree(folder / "t", ignore_errors=True)
    return sorted(found)


def main():
    tool, place, *names = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("judge", place)
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    cases = json.loads(Path(judge.HERE, "cases.json").read_text())["cases"]
    sys.stdout.write(HEADER + "\n")
    for case in (case for case in cases if case["name"] in names):
        sys.stdout.write(row(tool, judge, case) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
