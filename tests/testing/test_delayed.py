"""Messages for later in a test: delivered when it says so, by the way they take through a delay server."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.utils import timezone

from fairway import Channel, channel_layers, route
from fairway.delay.models import DelayedMessage
from fairway.errors import ChannelFull, InvalidMessage
from fairway.testing import ChannelTestCase, Client, WSClient, apply_routes
from fairway.testing.delayed import deliver_delayed
from tests.testing.support import fresh_layers

__all__ = ["fresh_layers"]

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def remind(message):
    return message["n"]


def remind_every_day(message):
    Channel("reminders").send({"n": message["n"] + 1}, delay=DAY)
    return message["n"]


def contents(messages):
    return [message.content for message in messages]


def test_nothing_comes_before_its_time():
    Channel("reminders").send({"n": 1}, delay=DAY)
    assert deliver_delayed() == []
    assert deliver_delayed(DAY - timedelta(minutes=1)) == []
    (message,) = deliver_delayed(DAY)
    assert (message.channel_name, message.content) == ("reminders", {"n": 1})
    assert Client().get_next_message("reminders").content == {"n": 1}
    assert deliver_delayed(DAY) == []
    assert not DelayedMessage.objects.exists()


def test_they_come_in_the_order_of_their_times():
    now = timezone.now()
    for n, at in ((3, now + 3 * DAY), (1, now + DAY), (0, now - DAY), (2, now + 2 * DAY)):
        Channel("reminders").send({"n": n}, at=at)
    assert contents(deliver_delayed()) == [{"n": 0}]
    assert contents(deliver_delayed(2 * DAY)) == [{"n": 1}, {"n": 2}]


def test_a_clock_that_the_test_sets_counts(monkeypatch):
    Channel("reminders").send({"n": 1}, delay=DAY)
    later = timezone.now() + DAY
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert contents(deliver_delayed()) == [{"n": 1}]


def test_what_waits_may_be_looked_at():
    at = (timezone.now() + DAY).replace(microsecond=0)
    Channel("reminders").send({"n": 1}, at=at)
    deliver_delayed()
    row = DelayedMessage.objects.get()
    assert (row.channel_name, row.content, row.due_date) == ("reminders", {"n": 1}, at)


@apply_routes(route("reminders", remind_every_day))
def test_what_a_consumer_sends_for_later_is_due_later_than_now():
    client = Client()
    client.send_and_consume("reminders", {"n": 1})
    for n in (2, 3):
        assert contents(client.deliver_delayed(DAY)) == [{"n": n}]
        assert client.consume("reminders") == n


def test_a_key_replaces_and_cancels():
    for n in (1, 2):
        Channel("reminders").send({"n": n}, delay=DAY, key="ann")
    Channel("reminders").send({"n": 3}, delay=DAY, key="bob")
    Channel("reminders").cancel("bob")
    assert contents(deliver_delayed(DAY)) == [{"n": 2}]
    Channel("reminders").send({"n": 4}, delay=DAY, key="ann")
    assert contents(deliver_delayed(DAY)) == [{"n": 4}]


def test_one_for_a_client_reaches_it():
    client = WSClient()
    with apply_routes(route("websocket.connect", lambda message: message.reply_channel.send({"accept": True}))):
        client.connect("/")
    Channel(client.reply_channel).send({"text": "still there?"}, delay=timedelta(minutes=20))
    client.deliver_delayed(timedelta(minutes=20))
    assert client.receive(json=False) == "still there?"


def test_each_layer_has_its_own(settings):
    settings.CHANNEL_LAYERS = {
        alias: {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []} for alias in ("default", "other")
    }
    Channel("reminders", "other").send({"n": 1}, delay=DAY)
    assert deliver_delayed(DAY) == []
    (message,) = deliver_delayed(DAY, "other")
    assert message.channel_layer is channel_layers["other"]
    channel_layers.clear()


def test_a_channel_without_room_is_an_error(settings):
    config = {"capacity": {"reminders": 1}}
    settings.CHANNEL_LAYERS = {"own": {"BACKEND": "fairway.layers.MemoryLayer", "CONFIG": config, "ROUTING": []}}
    for n in (1, 2):
        Channel("reminders", "own").send({"n": n}, delay=DAY)
    with pytest.raises(ChannelFull):
        deliver_delayed(DAY, "own")
    channel_layers.clear()


def test_one_that_no_delay_server_would_keep_fails_the_test():
    Channel("asgi.delay").send({"channel": "reminders", "content": {}, "delay": "soon"})
    Channel("reminders").send({"n": 1}, delay=DAY)
    with pytest.raises(InvalidMessage, match="'delay' is 'soon'"):
        deliver_delayed(DAY)
    assert contents(deliver_delayed(DAY)) == [{"n": 1}]


def test_without_the_app(settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "fairway.delay"]
    with pytest.raises(ImproperlyConfigured, match=r"without 'fairway.delay' in INSTALLED_APPS"):
        deliver_delayed()


async def test_in_a_coroutine(transactional_db):
    client = Client()
    await Channel("reminders").asend({"n": 1}, delay=DAY)
    assert contents(await client.adeliver_delayed(DAY)) == [{"n": 1}]


class InATestCase(ChannelTestCase):
    def test_what_waits_for_a_commit_is_scheduled(self):
        with transaction.atomic():
            Channel("reminders").send({"n": 1}, delay=DAY, on_commit=True)
            assert deliver_delayed(DAY) == []
        assert contents(deliver_delayed(DAY)) == [{"n": 1}]

    def test_nothing_is_left_from_another_test(self):
        assert deliver_delayed(timedelta(days=5000)) == []
        assert connection.in_atomic_block
