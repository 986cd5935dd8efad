"""What a client and the server agree on before anything is read: options in, answers out, no socket."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from analyzer.nbd.errors import ProtocolError
from analyzer.nbd.numbers import GREETING, OPTION_MAGIC, Answer, Handshake, Info, Option
from analyzer.nbd.options import (
    RESERVED,
    Contexts,
    block_info,
    build_answer,
    build_name,
    context_answer,
    export_info,
    old_export,
    parse_contexts,
    parse_wanted,
    text_info,
    text_of,
)
from analyzer.serve.contexts import NUMBERS, Context, matching
from analyzer.serve.export import Export

OFFERED = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES
HELLO = GREETING + OPTION_MAGIC + OFFERED.to_bytes(2, "big")
"""What the server says first."""
# Queries of one option that are looked at; there are three contexts.
_MOST_QUERIES = 64


class Then(Enum):
    """What follows an answer."""

    ASK = "the client's next option"
    READ = "requests"
    END = "nothing: the client leaves, or has to"


@dataclass(frozen=True, slots=True)
class Session:
    """What was agreed on."""

    export: Export
    is_structured: bool
    """Replies come in chunks, which can say more than one number of an error."""
    contexts: Sequence[Context]


@dataclass(slots=True)
class Negotiation:
    """One client's handshake, after both sides' first words."""

    exports: Mapping[str, Export]
    client: Handshake
    has_room: Callable[[], bool]
    """Whether another client may read; asked when one wants to begin."""
    session: Session | None = None
    _is_structured: bool = False
    _chosen: tuple[str, Sequence[Context]] = field(default=("", ()))

    def answer(self, number: int, data: bytes) -> tuple[bytes, Then]:
        """The answers to an option, and what follows."""
        try:
            option = Option(number)
        except ValueError:
            return _refused(number, Answer.UNSUPPORTED, "this server does not know the option"), Then.ASK
        try:
            return self._answer(option, data)
        except ProtocolError as error:
            return _refused(number, Answer.INVALID, error.reason), Then.ASK

    def _answer(self, option: Option, data: bytes) -> tuple[bytes, Then]:
        match option:
            case Option.EXPORT_NAME:
                return self._begin_as_of_old(text_of(data))
            case Option.INFO | Option.GO:
                return self._describe(option, data)
            case Option.ABORT:
                return build_answer(option, Answer.ACK), Then.END
            case Option.STARTTLS:
                return _refused(option, Answer.POLICY, "this server has no TLS"), Then.ASK
            case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT:
                return self._contexts(option, parse_contexts(data)), Then.ASK
        return self._answer_bare(option, data), Then.ASK

    def _answer_bare(self, option: Option, data: bytes) -> bytes:
        """The answers to an option that has no data."""
        if data:
            return _refused(option, Answer.INVALID, "the option takes no data")
        names: Iterable[str] = ()
        if option is Option.LIST:
            names = self.exports
        else:
            self._is_structured = True
        named = (build_answer(option, Answer.SERVER, build_name(name)) for name in names)
        return b"".join(named) + build_answer(option, Answer.ACK)

    def _begin_as_of_old(self, name: str) -> tuple[bytes, Then]:
        """Begin without a way to say why not: the protocol has the connection closed instead."""
        export = self.exports.get(name)
        if export is None or not self.has_room():
            return b"", Then.END
        self._begin(export)
        reserved = 0 if self.client & Handshake.NO_ZEROES else RESERVED
        return old_export(export.disk.size, export.flags, reserved=reserved), Then.READ

    def _describe(self, option: Option, data: bytes) -> tuple[bytes, Then]:
        wanted = parse_wanted(data)
        export = self.exports.get(wanted.name)
        if export is None:
            return self._unknown(option, wanted.name), Then.ASK
        told = b"".join(build_answer(option, Answer.INFO, info) for info in _infos(export, wanted.infos))
        if option is Option.INFO:
            return told + build_answer(option, Answer.ACK), Then.ASK
        if not self.has_room():
            why = "as many clients as are served at once are here; come back when one has left"
            return _refused(option, Answer.POLICY, why), Then.ASK
        self._begin(export)
        return told + build_answer(option, Answer.ACK), Then.READ

    def _begin(self, export: Export) -> None:
        name, contexts = self._chosen
        self.session = Session(export, self._is_structured, contexts if name == export.name else ())

    def _contexts(self, option: Option, asked: Contexts) -> bytes:
        if not self._is_structured:
            return _refused(option, Answer.INVALID, "contexts need structured replies, which were not agreed on")
        if asked.name not in self.exports:
            return self._unknown(option, asked.name)
        if len(asked.queries) > _MOST_QUERIES:
            return _refused(option, Answer.TOO_BIG, f"at most {_MOST_QUERIES} contexts are looked for")
        if option is Option.SET_META_CONTEXT:
            found = [context for context in Context if context.value in asked.queries]
            self._chosen = asked.name, found
        else:
            listed = [context for query in asked.queries for context in matching(query)]
            found = list(dict.fromkeys(listed)) if asked.queries else list(Context)
        told = (build_answer(option, Answer.META_CONTEXT, context_answer(NUMBERS[one], one.value)) for one in found)
        return b"".join(told) + build_answer(option, Answer.ACK)

    def _unknown(self, option: Option, name: str) -> bytes:
        there = ", ".join(repr(one) for one in list(self.exports)[:8])
        return _refused(option, Answer.UNKNOWN, f"there is no export {name!r}; there are {there}")


def _infos(export: Export, wanted: Sequence[int]) -> Iterator[bytes]:
    yield export_info(export.disk.size, export.flags)
    if Info.NAME in wanted:
        yield text_info(Info.NAME, export.name)
    if Info.DESCRIPTION in wanted and export.description:
        yield text_info(Info.DESCRIPTION, export.description)
    if Info.BLOCK_SIZE in wanted:
        yield block_info(export.sizes)


def _refused(option: int, answer: Answer, why: str) -> bytes:
    return build_answer(option, answer, why.encode("utf-8", "backslashreplace"))
