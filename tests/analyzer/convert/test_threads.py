"""Cells dealt to threads: all of them once, turns in order, and an end when one fails."""

import threading

import pytest

from analyzer.convert.copying import copy_to_places
from analyzer.convert.threads import THREADS, Deal, Turns, by_threads
from analyzer.progress import no_progress
from tests.analyzer.convert.disks import MIB, one_run


def test_each_cell_is_dealt_once_and_each_thread_gets_its_own_ascending():
    shares = by_threads(lambda some, _: list(some), Deal(range(100)), no_progress)
    assert sorted(cell for share in shares for cell in share) == list(range(100))
    assert all(share == sorted(share) for share in shares)


def test_turns_come_in_the_order_of_the_cells_whatever_is_ready_first():
    turns, order, second_is_ready = Turns([3, 5, 8, 9]), [], threading.Event()

    def work(some, _):
        for cell in some:
            if cell == 3:  # the first is ready last
                assert second_is_ready.wait(10)
            if cell == 5:
                second_is_ready.set()
            with turns.turn_of(cell):
                order.append(cell)

    by_threads(work, turns, no_progress)
    assert order == [3, 5, 8, 9]


def test_a_failure_before_its_turn_ends_those_that_wait_for_it_and_is_what_is_raised():
    turns, waits = Turns(range(50)), threading.Event()

    def work(some, _):
        for cell in some:
            if cell == 7:
                assert waits.wait(10)
                raise OSError("the medium")
            if cell > 7:
                waits.set()
            with turns.turn_of(cell):
                assert cell < 7

    with pytest.raises(OSError, match="the medium"):
        by_threads(work, turns, no_progress)


def test_places_are_asked_for_in_the_order_of_the_disk_and_zeros_get_none():
    content = bytearray(b"\x01" * (40 * MIB))
    content[5 * MIB : 7 * MIB] = bytes(2 * MIB)
    written, asked, lock = bytearray(len(content)), [], threading.Lock()

    def place(start):
        asked.append(start)
        return start

    def write_at(offset, data):
        with lock:
            written[offset : offset + len(data)] = data

    noted = copy_to_places(one_run(bytes(content)), range(40), place, write_at, no_progress)
    assert written == content
    assert asked == sorted(asked) == [cell * MIB for cell in range(40) if cell not in (5, 6)]
    assert list(noted.cells) == [start // MIB for start in asked]
    assert THREADS > 1
