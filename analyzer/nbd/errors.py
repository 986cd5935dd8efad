"""What goes wrong between an NBD client and its server."""

from vhdx.errors import VhdxError


class ProtocolError(VhdxError):
    """The other side says what the protocol does not have; `reason` is a clause."""

    exit_code = 6
    reason: str
    text = "the other side does not keep to the NBD protocol: {reason}"
