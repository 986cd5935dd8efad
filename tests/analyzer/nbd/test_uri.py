"""Addresses of exports, as text."""

from pathlib import Path

import pytest

from analyzer.nbd.uri import NbdAddress, NotAnAddressError, is_nbd


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("nbd://host", NbdAddress(host="host")),
        ("nbd://host:10809/", NbdAddress(host="host")),
        ("nbd://host:1/@0", NbdAddress(host="host", port=1, export="@0")),
        ("nbd://[::1]/a/b", NbdAddress(host="::1", export="a/b")),
        ("nbd+unix:///?socket=/run/s", NbdAddress(socket=Path("/run/s"))),
        ("nbd+unix:///a%20b?socket=/run/s%2Ct", NbdAddress(socket=Path("/run/s,t"), export="a b")),
        ("NBD://host/x", NbdAddress(host="host", export="x")),
    ],
)
def test_an_address_is_read_and_written(text, address):
    assert is_nbd(text)
    assert NbdAddress.parse(text) == address
    assert NbdAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["nbd://", "nbd:///x", "nbd+unix:///x", "nbd+unix://host/?socket=s", "nbds://host", "nbd://host:x/",
             "nbd://host/?socket=/s", "nbd://host:99999/", "http://host/", "nbd://[::1"]
)  # fmt: skip
def test_what_names_no_export_is_refused(text):
    with pytest.raises(NotAnAddressError):
        NbdAddress.parse(text)


def test_what_qemu_takes_for_its_own_is_escaped():
    assert "," not in str(NbdAddress(socket=Path("/run/a,b"), export="c,d"))
    assert str(NbdAddress(host="::1", export="@0")) == "nbd://[::1]/@0"
