"""Damaged images warn by the thousand; here nobody listens."""

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("vhdx"), "disabled", True)
