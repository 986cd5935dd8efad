"""What a client is told instead of what it asked for."""

from analyzer.nbd.numbers import Failure


class Refusal(Exception):  # noqa: N818 - an answer, no fault of this program
    """A request that is answered by an error; the connection goes on."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure, self.reason = failure, reason
