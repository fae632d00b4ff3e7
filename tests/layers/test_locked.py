"""A broker behind one lock: nobody is woken under it, the timekeeper keeps time, and closing lets everyone go."""

import threading
import time

import pytest

from fairway.broker.effects import Send
from fairway.errors import ChannelFull, LayerUnavailable
from fairway.layers.locked import LockedBroker
from fairway.layers.waiters import BlockingWaiter
from fairway.limits import BrokerLimits, ChannelRule
from tests.support.waiting import wait_until

FULL = BrokerLimits(rules=(("*", ChannelRule(capacity=1)),))


def publish(locked, timeout=0.0):
    effect = Send("work", b"x")
    locked.publish(locked.broker.publish, (effect,), effect, timeout)


def test_a_callback_may_call_again():
    locked = LockedBroker(None)
    seen = []
    owner = locked.run(locked.broker.owners.open, ["p!"])
    locked.callbacks[owner] = lambda: seen.append(len(locked.run(locked.broker.owners.drain, owner)))
    effect = Send("p!1", b"x")
    locked.publish(locked.broker.publish, (effect,), effect, 0)
    assert seen == [1]


def test_a_callback_that_fails_is_logged_and_harms_nobody(caplog):
    locked = LockedBroker(None)
    owner = locked.run(locked.broker.owners.open, ["p!"])
    locked.callbacks[owner] = lambda: 1 / 0
    effect = Send("p!1", b"x")
    locked.publish(locked.broker.publish, (effect,), effect, 0)
    assert "a callback of the layer failed" in caplog.text


def test_the_timekeeper_exists_only_when_something_waits():
    locked = LockedBroker(FULL)
    publish(locked)
    assert locked._timekeeper is None
    with pytest.raises(ChannelFull):
        publish(locked, timeout=0.05)
    assert locked._timekeeper.is_alive()
    locked.close()
    locked._timekeeper.join(5)
    assert not locked._timekeeper.is_alive()


def test_closing_lets_a_sender_go():
    locked = LockedBroker(FULL)
    publish(locked)
    raised = []

    def send():
        try:
            publish(locked, timeout=30)
        except LayerUnavailable as error:
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: locked.waiting, "the sender to wait")
    began = time.monotonic()
    locked.close()
    locked.close()
    thread.join(5)
    assert raised
    assert time.monotonic() - began < 5


def test_a_closed_one_takes_no_command():
    locked = LockedBroker(None)
    locked.close()
    with pytest.raises(LayerUnavailable):
        locked.run(len, locked.broker.sessions)
    assert locked.try_run(len, locked.broker.sessions) is None


def test_questions_are_asked_and_forgotten():
    locked = LockedBroker(None)
    waiters = locked.ask([7, 8], BlockingWaiter)
    assert set(locked.waiting) == set(waiters) == {7, 8}
    locked.forget(waiters)
    assert not locked.waiting
