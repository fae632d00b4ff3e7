"""One lock and one timekeeper: seen through the memory layer, which has nothing else around them."""

import contextlib
import threading

import pytest

from fairway.broker.effects import Ending, Envelope, Policy, Send
from fairway.errors import ChannelFull, InvalidName
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from tests.support.waiting import wait_until


@pytest.fixture
def layer():
    layer = MemoryLayer(BrokerLimits(rules=(("full", ChannelRule(capacity=0)), ("*", ChannelRule()))))
    yield layer
    layer.close()


def timekeepers():
    return [thread for thread in threading.enumerate() if thread.name == "fairway-time"]


def test_the_timekeeper_begins_when_something_waits_and_ends_with_the_layer(layer):
    before = len(timekeepers())
    layer.send("a", {"n": 1})
    assert len(timekeepers()) == before
    with pytest.raises(ChannelFull):
        layer.send("full", {}, 0.001)
    assert len(timekeepers()) == before + 1
    layer.close()
    wait_until(lambda: len(timekeepers()) == before)


def test_the_timekeeper_is_woken_for_an_earlier_time_only(layer, monkeypatch):
    """Not by each of the thousand messages that pass while one waits."""
    ticks = []
    monkeypatch.setattr(layer.locked, "_tick", lambda tick=layer.locked._tick: (ticks.append(1), tick())[1])
    reader = layer.reader(["a"])
    layer.send("a", {})
    reader.commit(reader.receive(1), [Send("full", b"x")])
    wait_until(lambda: ticks)
    for _ in range(200):
        layer.send("a", {})
        reader.commit(reader.receive(1))
    assert len(ticks) < 4
    with pytest.raises(ChannelFull):
        layer.send("full", {}, 0.001)


def test_waits_with_different_times_end_in_their_own(layer):
    ended = []

    def wait(timeout):
        with pytest.raises(ChannelFull):
            layer.send("full", {}, timeout)
        ended.append(timeout)

    threads = [threading.Thread(target=wait, args=(timeout,)) for timeout in (0.12, 0.02, 0.07)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ended == [0.02, 0.07, 0.12]


def test_no_lock_is_held_while_others_are_called(layer):
    free = []
    inbox = layer.inbox(["s1!"], lambda: free.append(layer.locked._lock.acquire(blocking=False)))
    layer.send("s1!a", {})
    assert free == [True]
    layer.locked._lock.release()
    assert len(inbox.drain()) == 1


def test_a_broker_that_says_no_leaves_the_lock_free(layer):
    for _ in range(3):
        with pytest.raises(ChannelFull):
            layer.send("full", {})
    with pytest.raises(InvalidName):
        layer.reader(["p!1"])
    layer.send("a", {})


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("lost", "may not run twice"),
        ("attempts", "lost 1 times"),
        ("retries", "ConsumeLater"),
        ("full", "had no room"),
    ],
)
def test_what_is_mislaid_is_logged(layer, caplog, reason, text):
    reader = layer.reader(["a"])
    if reason == "full":
        layer.broker.limits = BrokerLimits(commit_wait=0.001)
        layer.send("a", {})
        reader.commit(reader.receive(1), [Send("full", b"x")])
    else:
        limits = BrokerLimits(requeues=0, rules=(("a", ChannelRule(attempts=1)),))
        with contextlib.closing(MemoryLayer(limits)) as other:
            policy = Policy.ONCE if reason == "lost" else Policy.AGAIN
            other.inbox(["s1!"], lambda: None).submit(Envelope("i", "a", "s1!a", 0, policy=policy), b"x")
            reader = other.reader(["a"])
            delivery = reader.receive(1)
            if reason == "retries":
                reader.commit(delivery, [], Ending.LATER)
            reader.close()
    wait_until(lambda: text in caplog.text)
    assert "on a was not consumed" in caplog.text or reason == "full"


def test_a_callback_that_fails_is_logged_and_the_rest_are_called(layer, caplog):
    calls = []

    def fail():
        raise RuntimeError("no loop")

    layer.inbox(["s1!"], fail)
    layer.inbox(["s2!"], lambda: calls.append(1))
    for channel in ("s1!a", "s2!a"):
        layer.group_add("g", channel)
    assert calls == [1]
    assert "a callback of the layer failed" in caplog.text
    assert "no loop" in caplog.text


def test_an_interrupted_send_is_taken_back(layer, monkeypatch):
    """As Ctrl-C does while a thread waits for room."""

    def strike(self, timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairway.layers.waiters.BlockingWaiter.wait", strike)
    with pytest.raises(KeyboardInterrupt):
        layer.send("full", {}, 5)
    assert layer.statistics().held_bytes == 0
    assert layer.locked.waiting == {}
