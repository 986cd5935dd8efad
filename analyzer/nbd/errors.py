"""What goes wrong between an NBD client and its server."""

from analyzer.nbd.uri import NbdAddress
from analyzer.text import AddressPath
from vhdx.errors import InputOutputError, VhdxError


class ProtocolError(VhdxError):
    """The other side says what the protocol does not have; `reason` is a clause."""

    exit_code = 6
    reason: str
    text = "the other side does not keep to the NBD protocol: {reason}"


class NbdServerError(VhdxError):
    """A server is not there, refuses, falls silent, or does not keep to the protocol; `reason` is a clause."""

    exit_code = 6
    address: NbdAddress
    reason: str
    text = "{address} cannot be read: {reason}; look at what serves it, or check the address"


class NbdReadError(InputOutputError):
    """The server says that it cannot read a range of its disk, and maybe why."""

    def __init__(self, address: NbdAddress, reason: str, start: int) -> None:
        super().__init__(AddressPath(str(address)), "read", reason, start)
        self.address = address

    def __str__(self) -> str:
        return f"cannot read {self.address} at byte {self.offset}: the server says: {self.reason}"
