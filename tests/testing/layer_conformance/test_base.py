"""The suite catches a layer that breaks its word; one that no broken layer fails would prove nothing."""

import asyncio
import itertools
from unittest import SkipTest

import pytest

from fairway.broker.effects import Send
from fairway.errors import FairwayError
from fairway.layers.memory import MemoryLayer
from fairway.testing.layer_conformance import Form, LayerConformance
from fairway.testing.layer_conformance.base import number, read


class Forgetful(MemoryLayer):
    """Loses each third message."""

    turns = itertools.count(1)

    async def apublish(self, effect, timeout=0):
        if next(self.turns) % 3:
            await super().apublish(effect, timeout)


class Doubling(MemoryLayer):
    """Sends everything twice."""

    async def apublish(self, effect, timeout=0):
        for _ in range(2):
            await super().apublish(effect, timeout)


class Patient(MemoryLayer):
    """Takes its time over a membership."""

    async def agroup_add(self, group, channel):
        asyncio.get_running_loop().call_later(0.01, super().group_add, group, channel)


class Sleepy(MemoryLayer):
    """Wakes nobody when it is closed."""

    def close(self):
        pass


def broken_reader(**changes):
    """A memory layer whose readers are changed."""

    class Broken(MemoryLayer):
        def reader(self, channels, window=1):
            reader = super().reader(channels, window)
            for name, change in changes.items():
                setattr(reader, name, change(reader))
            return reader

    return Broken


def unacknowledged(reader):
    async def acommit(delivery, outbox=(), ending=0):
        for effect in outbox:
            reader._locked.run(reader._broker.publish, effect, 0)

    return acommit


def swallowing(reader):
    def give_up(waiter):
        """Keep the delivery of a receiver that was cancelled."""
        reader._step_out(waiter)

    return give_up


def careless(reader):
    def release(delivery):
        reader._locked.run(reader._broker.commit, reader._session, delivery.receipt, (), 0, 0)

    return release


@pytest.mark.parametrize(
    ("layer", "test"),
    [
        (Forgetful, "test_a_channel_is_a_queue"),
        (Forgetful, "test_sends_of_one_sender_arrive_in_order"),
        (Doubling, "test_each_message_goes_to_one_reader"),
        (Doubling, "test_a_full_channel_refuses"),
        (Patient, "test_a_membership_is_sure"),
        (Sleepy, "test_closing_wakes_everybody"),
        (broken_reader(acommit=unacknowledged), "test_nothing_of_a_run_leaves_before_its_commit"),
        (broken_reader(acommit=unacknowledged), "test_a_receipt_commits_once"),
        (broken_reader(_give_up=swallowing), "test_receive"),
        (broken_reader(release=careless), "test_release_puts_back_in_front"),
    ],
)
def test_a_broken_layer_is_caught(layer, test):
    class Suite(LayerConformance):
        deadline = 0.3
        quiet = 0.01

        def make_layer(self, limits):
            return layer(limits, answer_timeout=0.1)

    with pytest.raises((AssertionError, TimeoutError, FairwayError)):
        getattr(Suite(), test)(Form("asyncio"))


class Small(LayerConformance):
    forms = ("asyncio",)
    knows_limits = False
    atomic_across_queues = False

    def make_layer(self, limits):
        return MemoryLayer(limits)


@pytest.mark.parametrize("test", ["test_a_full_channel_refuses", "test_outbox_and_done_appear_together"])
def test_what_a_layer_cannot_promise_is_skipped(test):
    with pytest.raises(SkipTest):
        getattr(Small(), test)(Form("asyncio"))


def test_each_test_runs_in_the_forms_it_can():
    found = {}

    class Metafunc:
        fixturenames = ("form",)

        def __init__(self, function):
            self.function = function

        def parametrize(self, name, values, ids):
            found[self.function.__name__] = ids
            assert [repr(value) for value in values] == ids

    class Suite(LayerConformance):
        pass

    tests = [getattr(Suite, name) for name in dir(Suite) if name.startswith("test_")]
    for test in tests:
        Suite().pytest_generate_tests(Metafunc(test))
    assert len(found) == len(tests) > 70
    assert found["test_a_channel_is_a_queue"] == ["blocking", "asyncio", "uvloop"]
    assert found["test_a_waiting_send"] == ["asyncio", "uvloop"]
    with pytest.raises(NotImplementedError):
        Suite().make_layer(None)


def test_numbers_are_read_as_they_were_sent():
    layer = MemoryLayer()
    layer.publish(number(7))
    assert read(layer.reader(["numbers"]).receive(1)) == 7
    assert isinstance(number(1), Send)
    assert Small().make_rival(layer) is layer
    layer.close()
