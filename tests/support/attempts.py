"""Calls that may be refused."""

from vhdx import VhdxError


def attempt(action):
    """(result, None) of a call, or (None, error) when it raises a VhdxError; anything else passes through."""
    try:
        return action(), None
    except VhdxError as error:
        return None, error
