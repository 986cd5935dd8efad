"""Work that threads share: all of it once, in order, some of it ahead, and an end when one fails."""

import threading
from itertools import count

import pytest

from analyzer.convert.copying import copy_cells
from analyzer.convert.threads import ALIVE, Deal, ahead, by_threads
from analyzer.progress import no_progress
from tests.analyzer.convert.disks import MIB, one_run


def test_each_cell_is_dealt_once_and_each_thread_gets_its_own_ascending():
    shares = by_threads(lambda some, _: list(some), Deal(range(100)), no_progress)
    assert sorted(cell for share in shares for cell in share) == list(range(100))
    assert all(share == sorted(share) for share in shares)


def test_what_is_made_ahead_comes_in_order_and_few_of_it_are_alive():
    let_go, alive = 0, []

    def made():
        for number in range(50):
            alive.append(number + 1 - let_go)
            yield number

    for expected, number in enumerate(ahead(made())):
        assert number == expected
        let_go += 1
    assert let_go == 50
    assert 1 < max(alive) <= ALIVE


def test_what_was_made_before_a_failure_comes_before_it():
    def made():
        yield from range(3)
        raise OSError("the medium")

    things = ahead(made())
    assert [next(things) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the medium"):
        next(things)


def test_nothing_more_is_made_for_who_takes_no_more():
    made, ended = [], threading.Event()

    def endless():
        try:
            for number in count():
                made.append(number)
                yield number
        finally:
            ended.set()

    things = ahead(endless())
    assert next(things) == 0
    things.close()
    assert len(made) <= ALIVE
    del things
    assert ended.wait(10)


def test_cells_are_written_in_the_order_of_the_disk_and_zeros_are_not():
    content = bytearray(b"\x01" * (40 * MIB))
    content[5 * MIB : 7 * MIB] = bytes(2 * MIB)
    written, places = bytearray(len(content)), []

    def write(offset, data):
        places.append(offset)
        written[offset : offset + len(data)] = data

    noted = copy_cells(one_run(bytes(content)), range(40), write, no_progress)
    assert written == content
    assert places == [cell * MIB for cell in range(40) if cell not in (5, 6)]
    assert list(noted.cells) == [start // MIB for start in places]
