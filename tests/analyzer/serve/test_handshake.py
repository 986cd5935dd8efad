"""What clients and the server agree on, and what becomes of those that will not."""

import struct

import pytest

from analyzer.serve.server import Limits
from tests.analyzer.serve.speaker import ACK, CONTEXT, INFO, READ, SERVER, Speaker, text

REFUSED = 1 << 31
UNSUPPORTED, POLICY, INVALID, UNKNOWN, TOO_BIG = (REFUSED | number for number in (1, 2, 3, 6, 9))


def test_all_exports_are_listed(demo, served):
    with Speaker(served(one=demo[0], two=demo[0]).address) as speaker:
        assert speaker.hello().option(3) == [(SERVER, text("one")), (SERVER, text("two")), (ACK, b"")]


def test_an_unknown_export_is_refused_with_those_that_there_are(demo, served):
    with Speaker(served(one=demo[0]).address) as speaker:
        ((kind, why),) = speaker.hello().option(7, text("two") + b"\0\0")
        assert kind == UNKNOWN
        assert b"'one'" in why


def test_a_client_of_the_oldest_kind_gets_its_zeros(demo, served):
    with Speaker(served(one=demo[0]).address) as speaker:
        speaker.hello(flags=1)
        speaker.socket.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 3) + b"one")
        size, flags, zeros = struct.unpack(">QH124s", speaker.take(134))
        assert (size, flags & 3, zeros) == (demo[0].size, 3, bytes(124))
        assert not speaker.ask(READ, 0, 512).error


def test_a_client_of_the_oldest_kind_that_asks_for_what_is_not_there_is_left(demo, served):
    with Speaker(served(one=demo[0]).address) as speaker:
        speaker.hello().socket.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 3) + b"two")
        assert speaker.is_closed()


@pytest.mark.parametrize(
    ("option", "data", "kind"),
    [
        (5, b"", POLICY),
        (3, b"x", INVALID),
        (7, b"", INVALID),
        (7, text("one"), INVALID),
        (7, text("one") + b"\0\2\0\1", INVALID),
        (7, b"\xff\xff\xff\xff" + b"one\0\0", INVALID),
        (9, text("one") + b"\0\0\0\1", INVALID),
        (10, text("one") + b"\0\0\0\0", INVALID),  # no structured replies were agreed on
        (11, b"", UNSUPPORTED),
        (0xFFFFFFFF, b"x" * 1000, UNSUPPORTED),
        (7, b"x" * (1 << 20), TOO_BIG),
    ],
)
def test_an_option_that_cannot_be_taken_is_refused_and_the_next_one_is_taken(demo, served, option, data, kind):
    with Speaker(served(one=demo[0]).address) as speaker:
        ((got, why),) = speaker.hello().option(option, data)
        assert got == kind
        assert why
        assert speaker.option(7, text("one") + b"\0\0")[-1][0] == ACK


@pytest.mark.parametrize(
    ("queries", "names"),
    [
        ([], {"base:allocation", "vhdx:layer", "vhdx:status"}),
        (["vhdx:"], {"vhdx:layer", "vhdx:status"}),
        (["base:allocation", "nobody:knows"], {"base:allocation"}),
    ],
)
def test_contexts_are_listed_by_their_names_and_namespaces(demo, served, queries, names):
    with Speaker(served(one=demo[0]).address) as speaker:
        speaker.hello().option(8)
        asked = text("one") + struct.pack(">I", len(queries)) + b"".join(map(text, queries))
        answers = speaker.option(9, asked)
        assert {data[4:].decode() for kind, data in answers if kind == CONTEXT} == names


def test_contexts_of_one_export_do_not_count_for_another(demo, served):
    with Speaker(served(one=demo[0], two=demo[0]).address) as speaker:
        speaker.hello().option(8)
        assert speaker.option(10, text("one") + struct.pack(">I", 1) + text("base:allocation"))[-1][0] == ACK
        speaker.structured = True
        assert speaker.option(7, text("two") + b"\0\0")[0][0] == INFO
        assert "no context" in speaker.ask(7, 0, 512).reasons[0][2]


@pytest.mark.parametrize("first", [b"\0\0\0\xff", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\3IHAVENOT" + bytes(8)])
def test_who_does_not_speak_the_protocol_is_left(demo, served, first):
    server = served(one=demo[0])
    with Speaker(server.address) as speaker:
        speaker.take(18)
        speaker.socket.sendall(first)
        assert speaker.is_closed()
    with Speaker(server.address) as speaker:
        speaker.begin("one")


def test_a_handshake_that_takes_too_long_ends(demo, served):
    with Speaker(served(one=demo[0], limits=Limits(patience=0.05)).address) as speaker:
        speaker.take(18)
        assert speaker.is_closed()


def test_when_too_many_are_greeted_whoever_came_first_has_to_go(demo, served):
    server = served(one=demo[0], limits=Limits(greeted=2))
    with Speaker(server.address) as first, Speaker(server.address) as second, Speaker(server.address) as third:
        for speaker in (second, third):
            speaker.hello()
        assert third.option(3)[-1][0] == ACK
        first.socket.recv(18)
        assert first.is_closed()


def test_more_clients_than_are_served_are_asked_to_come_back(demo, served):
    server = served(one=demo[0], limits=Limits(clients=1))
    with Speaker(server.address) as first, Speaker(server.address) as second:
        first.begin("one")
        ((kind, why),) = second.hello().option(7, text("one") + b"\0\0")
        assert kind == POLICY
        assert b"come back" in why
        assert not first.ask(READ, 0, 512).error
