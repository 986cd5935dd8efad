"""docs/backup-nightly.md, done as it stands there: the script is run, the units are verified, the commands parsed."""

import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fixtures import write_files
from tests.support.catalogue import fixture_of
from tests.support.files import ROOT
from tests.support.pages import parse

pytest.importorskip("zstandard")

PAGE = (ROOT / "docs" / "backup-nightly.md").read_text(encoding="utf-8")
SCRIPT, SERVICE, TIMER, BATCH = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
PROMETHEUS = re.compile(r'(# TYPE \w+ gauge|[a-z_]+(\{file="(\\.|[^"\\])*"\})? \d+)')


def require(*programs):
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} is not installed")


@pytest.fixture
def pinged():
    """The address of a server, and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/ping", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def night(tmp_path, pinged):
    """Runs the script on disks; the exit code."""
    require("sh", "jq", "curl")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"vhdx": f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n', "vhdx-nightly": SCRIPT}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "VHDX_REPOSITORY": str(tmp_path / "kept"),
        "TEXTFILE": str(tmp_path / "vhdx.prom"),
        "PING_URL": pinged[0],
    }
    environment.pop("VHDX_PASSPHRASE", None)

    def run(*command):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode

    assert run("vhdx", "backup", "init") == 0
    return lambda *disks: run("vhdx-nightly", *map(str, disks))


@pytest.mark.slow
def test_the_script_backs_up_and_tells_what_became_of_it(night, pinged, tmp_path):
    fixture = fixture_of("chain-3")
    write_files(fixture, tmp_path)
    leaf = tmp_path / fixture.leaf
    assert night(leaf) == 0
    lines = (tmp_path / "vhdx.prom").read_text().splitlines()
    assert all(PROMETHEUS.fullmatch(line) for line in lines)
    assert "vhdx_backup_exit_code 0" in lines
    assert any(line.startswith(f'vhdx_backup_newest_timestamp_seconds{{file="{leaf.name}"}} 1') for line in lines)
    broken = night(leaf, tmp_path / "absent.vhdx")
    assert broken > 1
    assert f"vhdx_backup_exit_code {broken}" in (tmp_path / "vhdx.prom").read_text()
    assert pinged[1] == ["/ping/0", f"/ping/{broken}"]
    assert len(list((tmp_path / "kept" / "points").glob("*.json"))) in {1, 2}  # of one day the newest stays


def test_the_units_are_what_systemd_takes(tmp_path):
    require("systemd-analyze")
    script = tmp_path / "vhdx-nightly"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    (tmp_path / "vhdx-nightly.service").write_text(SERVICE.replace("/usr/local/bin/vhdx-nightly", str(script)))
    (tmp_path / "vhdx-nightly.timer").write_text(TIMER)
    units = [str(tmp_path / name) for name in ("vhdx-nightly.service", "vhdx-nightly.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    about = [line for line in done.stderr.splitlines() if "vhdx-nightly" in line]
    assert about == []
    when = re.search("OnCalendar=(.*)", TIMER)[1]
    subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=True)


@pytest.mark.parametrize("text", [SCRIPT, BATCH], ids=["script", "batch"])
def test_every_call_in_them_has_options_that_exist(text):
    calls = re.findall(r"^(?:run )?vhdx (backup .*)$", text, re.MULTILINE)
    assert len(calls) >= 3
    for call in calls:
        parse(["backup", call.split()[1], "REPOSITORY", *call.split()[2:]])
