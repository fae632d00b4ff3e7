"""Readers and inboxes of the memory layer under races that only their own code could lose."""

import threading

import pytest

from fairway.broker.effects import Envelope
from fairway.errors import LayerUnavailable
from fairway.layers.memory import MemoryLayer


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


def test_an_interrupted_receive_gives_its_delivery_back(layer, monkeypatch):
    reader = layer.reader(["a"])
    layer.send("a", {"n": 1})

    def strike(self, timeout=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fairway.layers.waiters.BlockingWaiter.wait", strike)
        with pytest.raises(KeyboardInterrupt):
            reader.receive()
        with pytest.raises(KeyboardInterrupt):
            reader.receive()
    assert reader.receive(1).envelope.attempt == 1
    assert layer.broker.sessions[reader._session].demand == 0


def test_an_interrupted_receive_without_a_delivery_takes_its_demand_back(layer, monkeypatch):
    reader = layer.reader(["a"])

    def strike(self, timeout=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fairway.layers.waiters.BlockingWaiter.wait", strike)
        with pytest.raises(KeyboardInterrupt):
            reader.receive()
    assert (len(reader._idle), layer.broker.sessions[reader._session].demand) == (0, 0)
    layer.send("a", {"n": 1})
    assert reader.receive(1)


@pytest.mark.parametrize("stop", ["pause", "close"])
def test_whoever_comes_while_a_reader_stops_is_let_go(layer, stop):
    """Threads that call receive at the very moment of the stop: none of them may sleep for ever."""
    for _ in range(50):
        reader = layer.reader(["a"])
        barrier = threading.Barrier(4)

        def receive(reader=reader, barrier=barrier):
            barrier.wait(30)
            assert reader.receive(None) is None

        threads = [threading.Thread(target=receive) for _ in range(3)]
        for thread in threads:
            thread.start()
        barrier.wait(30)
        getattr(reader, stop)()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        reader.close()
    assert layer.statistics().sessions == 0


def test_a_layer_that_closes_meanwhile_is_no_error_for_receivers():
    for _ in range(30):
        layer = MemoryLayer()
        reader = layer.reader(["a"])
        barrier = threading.Barrier(3)
        failures = []

        def receive(layer=layer, reader=reader, barrier=barrier, failures=failures):
            barrier.wait(30)
            try:
                for timeout in (0, 0.001, None):
                    assert reader.receive(timeout) is None
                reader.pause()
            except BaseException as error:  # noqa: BLE001  it is looked at below
                failures.append(error)

        threads = [threading.Thread(target=receive) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait(30)
        layer.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert failures == []


def test_an_inbox_of_a_closed_layer_is_quiet(layer):
    inbox = layer.inbox(["s1!"], lambda: None)
    layer.close()
    inbox.congest("s1!a")
    inbox.depart("s1!a")
    inbox.relieve("s1!a")
    inbox.leave("g", 1)
    inbox.answer(1, [])
    assert inbox.drain() == []
    inbox.close()
    with pytest.raises(LayerUnavailable):
        inbox.submit(Envelope("i", "a", "s1!a", 0), b"x")
