"""The command line, run in this process: quick, and with coverage."""

import json
import os
import re
import shlex
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

import fixtures
from cli.errors import run
from cli.main import vhdx
from fixtures.damage import DAMAGES
from tests.support.catalogue import fixture_of
from tests.support.files import ROOT

SCHEMA = json.loads((ROOT / "docs/schema/vhdx-1.json").read_text())


@cache
def _validator():
    """Made once. That the schema is one takes longer to see than most commands take: tests/cli/test_json.py does it."""
    return jsonschema.validators.validator_for(SCHEMA)(SCHEMA)


def require_valid(answer):
    """What was parsed from JSON is as the published schema says."""
    _validator().validate(answer)


@lru_cache(maxsize=4)
def _require_valid(text):
    """Once for each answer, of which a test asks for one member after another: of 2,000 files it takes five seconds."""
    require_valid(json.loads(text))


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        """The answer as JSON, which must be as the published schema says."""
        _require_valid(self.out)
        return json.loads(self.out)


def words_of(command):
    """The words of a command that was advised, as the shells of this system have them."""
    if os.name != "nt":
        return shlex.split(command)
    return [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', command)]


@pytest.fixture
def vhdx_command(capsys):
    def call(*arguments):
        code = run(vhdx, [str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Answer(code, out, err)

    return call


@pytest.fixture
def built(tmp_path):
    """Writes a recipe of the catalogue and gives the path of its leaf, with the fixture."""

    def build(name):
        fixture = fixture_of(name)
        folder = tmp_path / name
        fixtures.write_files(fixture, folder)
        return folder / fixture.leaf, fixture

    return build


@pytest.fixture
def damaged(tmp_path):
    """Writes the files of a damage of the catalogue and gives the path of their leaf."""

    def build(name):
        fixture = DAMAGES[name].build()
        fixtures.write_files(fixture, tmp_path / name)
        return tmp_path / name / fixture.leaf

    return build


@pytest.fixture
def chain(built):
    """The leaf of a three-layer chain."""
    return built("demo")


def contents(folder):
    """Every file below a folder with its bytes: what must not change."""
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}
