"""Ctrl-C and signals, found again where something else hides them."""


def interruption_behind(error: BaseException) -> KeyboardInterrupt | SystemExit | None:
    """The interruption that an error is, or came of; None where there was none.

    A library that is interrupted tidies up, and what fails then (the end of a message that was never read) takes the
    interruption's place: it is left as the context of the error alone.
    """
    seen, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, KeyboardInterrupt | SystemExit):
            return one
        if id(one) not in seen:
            seen.add(id(one))
            waiting += [behind for behind in (one.__cause__, one.__context__) if behind is not None]
    return None
