"""Nothing is told of a process that may live."""

import os
import socket
import subprocess
import sys

from fairway.broker.wills import Will
from fairway.layers.hub.estates import MOST, PATIENCE, Estate, Estates, process_of

WILLS = {"s1!c1": Will(b"x", 0)}


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def owned(*prefixes):
    return lambda prefix: prefix in prefixes


def test_what_a_dead_process_has_left_is_due_once():
    estates = Estates()
    estate = Estate("s1!", WILLS, dead_process(), 0)
    estates.add(estate)
    assert estates.take_due(owned(), 0) == [estate]
    assert estates.take_due(owned(), 0) == []


def test_a_process_that_lives_is_waited_for_and_forgotten_when_it_is_back():
    estates = Estates()
    estates.add(Estate("s1!", WILLS, os.getpid(), 0))
    assert estates.take_due(owned(), 1e9) == []
    assert estates.take_due(owned("s1!"), 1e9) == []
    assert len(estates) == 0


def test_a_process_without_a_number_is_given_some_time():
    estates = Estates()
    estates.add(Estate("s1!", WILLS, 0, 100))
    assert estates.take_due(owned(), 100 + PATIENCE) == []
    assert len(estates.take_due(owned(), 101 + PATIENCE)) == 1


def test_who_leaves_nothing_is_not_kept():
    estates = Estates()
    estates.add(Estate("s1!", {}, 0, 0))
    assert len(estates) == 0


def test_the_oldest_of_too_many_are_taken_for_dead():
    estates = Estates()
    for number in range(MOST + 3):
        estates.add(Estate(f"s{number}!", WILLS, os.getpid(), number))
    assert [estate.prefix for estate in estates.take_due(owned(), 0)] == ["s0!", "s1!", "s2!"]
    assert len(estates) == MOST


def test_the_process_at_the_other_end_is_known():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert process_of(ours) == os.getpid()
    assert process_of(None) == 0
    assert process_of(ours) == 0
