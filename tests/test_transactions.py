"""Messages that wait for the database."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.transaction import TransactionManagementError
from django.test import TestCase

from fairway.channel import Channel, Group
from fairway.errors import ChannelFull, InvalidSchedule, MessageTooLarge
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.routing import route
from fairway.testing import ChannelTestCase
from fairway.transactions import sends_on_commit, waits_for_commit
from tests.support.chain import REQUESTS, Chain
from tests.support.waiting import wait_until

database = pytest.mark.django_db(transaction=True)


class Undo(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def work(layer):
    return Channel("work", channel_layer=layer)


def taken(layer):
    """What has come on `work`, without waiting."""
    reader = layer.reader(["work"])
    found = []
    while (delivery := reader.receive(0)) is not None:
        found.append(decode_message(delivery.body)["n"])
        reader.commit(delivery)
    return found


# --- on_commit=True --------------------------------------------------------------------------------------------------


@database
def test_a_message_leaves_when_the_transaction_is_committed(work, layer):
    with transaction.atomic():
        work.send({"n": 1}, on_commit=True)
        with transaction.atomic():
            work.send({"n": 2}, on_commit=True)
        assert taken(layer) == []

    assert taken(layer) == [1, 2]


@database
def test_what_is_rolled_back_was_never_sent(work, layer):
    with transaction.atomic():
        work.send({"n": 1}, on_commit=True)
        with suppress(Undo), transaction.atomic():
            work.send({"n": 2}, on_commit=True)
            raise Undo
    with suppress(Undo), transaction.atomic():
        work.send({"n": 3}, on_commit=True)
        raise Undo

    assert taken(layer) == [1]


@database
def test_outside_of_a_transaction_it_leaves_at_once(work, layer):
    work.send({"n": 1}, on_commit=True)

    assert taken(layer) == [1]


def test_outside_of_a_transaction_the_database_is_not_asked(work, layer):
    """This test may not touch it: pytest-django would say so."""
    work.send({"n": 1}, on_commit=True)

    assert taken(layer) == [1]


@database
def test_a_group_waits_as_well(layer):
    group = Group("all", channel_layer=layer)
    group.add("work")
    with transaction.atomic():
        group.send({"n": 1}, on_commit=True)
        group.send({"n": 2})
        assert taken(layer) == [2]

    assert taken(layer) == [1]


@database
def test_a_message_for_later_and_its_cancelling_wait_as_well(work, layer):
    reader = layer.reader(["asgi.delay"])
    with transaction.atomic():
        work.send({"n": 1}, delay=timedelta(days=1), key="k", on_commit=True)
        work.cancel("k", on_commit=True)
        assert reader.receive(0) is None

    messages = [decode_message(reader.receive(1).body) for _ in range(2)]
    assert ["cancel" in message for message in messages] == [False, True]


@database
def test_it_is_checked_and_encoded_on_the_line_that_sends(work, layer):
    content = {"n": 1}
    with transaction.atomic():
        work.send(content, on_commit=True)
        content["n"] = 2
        with pytest.raises(MessageTooLarge):
            work.send({"data": bytes(9 * 2**20)}, on_commit=True)

    assert taken(layer) == [1]


@database
def test_a_full_channel_is_an_error_where_the_transaction_ends():
    layer = MemoryLayer(BrokerLimits(rules=(("*", ChannelRule(capacity=1)),)))
    work = Channel("work", channel_layer=layer)

    def send_two():
        with transaction.atomic():
            work.send({"n": 1}, on_commit=True)
            work.send({"n": 2}, on_commit=True, timeout=0.01)

    with pytest.raises(ChannelFull):
        send_two()
    assert taken(layer) == [1]
    layer.close()


@database
def test_who_manages_transactions_by_hand_is_told_by_django(work):
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionManagementError):
            work.send({"n": 1}, on_commit=True)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.parametrize(
    "send",
    [
        lambda layer: Channel("work", channel_layer=layer).send({}, immediately=True, on_commit=True),
        lambda layer: Group("all", channel_layer=layer).send({}, immediately=True, on_commit=True),
    ],
)
def test_at_once_and_on_commit_contradict_each_other(layer, send):
    with pytest.raises(InvalidSchedule, match="contradict each other"):
        send(layer)


# --- in a consumer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [True, False])
@database
def test_in_a_consumer_it_goes_into_the_outbox(settings, setting):
    """Where a send says nothing it is in the outbox from the start, whatever the setting says."""
    settings.CHANNEL_SEND_ON_COMMIT = setting

    def consumer(message):
        work = Channel("work", channel_layer=chain.layer)
        with transaction.atomic():
            work.send({"n": 1}, on_commit=True)
            work.send({"n": 2})
        with suppress(Undo), transaction.atomic():
            work.send({"n": 3}, on_commit=True)
            work.send({"n": 4})
            raise Undo
        seen.append(taken(chain.layer))

    seen = []
    with Chain([route("in", consumer)]) as chain:
        Channel("in", channel_layer=chain.layer).send({})
        wait_until(lambda: chain.layer.statistics().committed == 1)
        assert taken(chain.layer) == [2, 1, 4]
    assert seen == [[]]


@database
def test_in_a_view_the_setting_holds_whatever_serves_it(settings):
    settings.CHANNEL_SEND_ON_COMMIT = True

    def view(message):
        work = Channel("work", channel_layer=chain.layer)
        with transaction.atomic():
            work.send({"n": 1})
        with suppress(Undo), transaction.atomic():
            work.send({"n": 2})
            work.send({"n": 3}, on_commit=False)
            raise Undo
        seen.append(taken(chain.layer))

    seen = []
    with Chain([route("http.request", view)]) as chain:
        chain.run("http.request", {"path": "/"}, f"{REQUESTS}r1")
        assert taken(chain.layer) == [1, 3]
    assert seen == [[]]


# --- the setting -----------------------------------------------------------------------------------------------------


@database
def test_the_setting_makes_it_the_default(work, layer, settings):
    settings.CHANNEL_SEND_ON_COMMIT = True
    with transaction.atomic():
        work.send({"n": 1})
        work.send({"n": 2}, on_commit=False)
        work.send({"n": 3}, immediately=True)
        assert taken(layer) == [2, 3]
    assert taken(layer) == [1]

    with suppress(Undo), transaction.atomic():
        work.send({"n": 4})
        raise Undo
    assert taken(layer) == []


@database
def test_without_the_setting_a_message_does_not_wait(work, layer):
    with transaction.atomic():
        work.send({"n": 1})
        assert taken(layer) == [1]


async def test_coroutines_have_no_transactions(work, layer, settings):
    settings.CHANNEL_SEND_ON_COMMIT = True
    await work.asend({"n": 1})
    work.send({"n": 2})

    assert taken(layer) == [1, 2]


@pytest.mark.parametrize("value", ["yes", 1, None, "False"])
def test_a_setting_that_is_no_bool_is_named(settings, work, value):
    settings.CHANNEL_SEND_ON_COMMIT = value

    with pytest.raises(ImproperlyConfigured, match=f"CHANNEL_SEND_ON_COMMIT is True or False, not {value!r}"):
        sends_on_commit()
    with pytest.raises(ImproperlyConfigured):
        work.send({"n": 1})
    assert waits_for_commit(on_commit=True, immediately=False) is False


class TestInATestCase(TestCase):
    def test_djangos_tools_run_what_waits(self):
        layer = MemoryLayer()
        self.addCleanup(layer.close)
        with self.captureOnCommitCallbacks(execute=True):
            Channel("work", channel_layer=layer).send({"n": 1}, on_commit=True)
            assert taken(layer) == []

        assert taken(layer) == [1]


class TestInAChannelTestCase(ChannelTestCase):
    def test_what_waits_leaves_when_somebody_receives(self):
        with transaction.atomic():
            Channel("work").send({"n": 1}, on_commit=True)

        assert self.get_next_message("work", require=True).content == {"n": 1}
