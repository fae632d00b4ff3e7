"""Handshakes that are undecided: the worker's window grows with them."""

from types import SimpleNamespace

import pytest

from fairway.views.connection import Phase
from fairway.views.handshakes import STEP, Handshakes


class Reader:
    """Notes how far it was widened."""

    def __init__(self):
        self.places = 0

    def widen(self, more):
        self.places += more


@pytest.fixture
def reader():
    return Reader()


def connections(reader, count):
    return [_Connection(reader) for _ in range(count)]


class _Connection:
    def __init__(self, reader):
        self.phase = Phase.HANDSHAKE
        self.outbox = SimpleNamespace(reader=reader)


def test_there_is_a_place_for_each(reader):
    handshakes = Handshakes(10 * STEP)
    for count, connection in enumerate(connections(reader, 5 * STEP), 1):
        handshakes.add(connection)
        assert reader.places >= count
    assert reader.places == 6 * STEP


def test_those_that_are_decided_need_none(reader):
    handshakes = Handshakes(10 * STEP)
    for connection in connections(reader, 5 * STEP):
        handshakes.add(connection)
        connection.phase = Phase.OPEN
    assert reader.places == STEP


def test_those_whose_view_has_ended_need_none(reader):
    handshakes = Handshakes(10 * STEP)
    for connection in connections(reader, 5 * STEP):
        handshakes.add(connection)
        handshakes.remove(connection)
    assert reader.places == STEP


def test_there_are_no_more_places_than_views(reader):
    handshakes = Handshakes(STEP + 1)
    for connection in connections(reader, 5 * STEP):
        handshakes.add(connection)
    assert reader.places == STEP + 1
