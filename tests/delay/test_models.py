"""The rows: what a user may do with them by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from fairway.conf import channel_layers
from fairway.delay.models import DelayedMessage, milliseconds_now, moment
from fairway.errors import InvalidMessage, InvalidName
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from tests.delay.harness import Ears

MINUTE = 60_000
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def at_noon(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOON)


def message(n=1, delay=-1, **more):
    return DelayedMessage(channel_name="reports", content={"n": n}, delay=delay, **more)


def test_a_delay_is_in_milliseconds_from_now_and_reads_back_as_it_was_set(at_noon):
    row = message(delay=1500)
    assert (row.delay, row.due_date) == (1500, NOON + timedelta(seconds=1.5))
    row.delay = -5
    assert (row.delay, row.due_date) == (-5, NOON - timedelta(milliseconds=5))


def test_the_delay_of_a_row_that_was_read_is_what_is_left(at_noon):
    assert DelayedMessage(due_date=NOON + timedelta(seconds=2)).delay == 2000
    assert DelayedMessage(due_date=NOON - timedelta(seconds=2)).delay == 0


def test_content_is_checked_where_it_is_set_and_may_hold_bytes():
    row = message()
    row.content = {"raw": b"\0", "reply_channel": "websocket.send.a!b"}
    assert row.content == {"raw": b"\0", "reply_channel": "websocket.send.a!b"}
    assert row.reply_channel == "websocket.send.a!b"
    with pytest.raises(InvalidMessage, match="cannot travel"):
        row.content = {"when": NOON}


def test_what_remains_of_a_row_that_was_sent_has_no_content():
    assert DelayedMessage(body=None).content == {}


def test_a_row_shows_its_channel_and_its_time(at_noon):
    assert str(message(delay=MINUTE)) == "to reports at 2030-06-01 12:01:00"


def test_times_are_django_times(settings):
    milliseconds = 1_906_545_600_123
    settings.TIME_ZONE = "Asia/Tokyo"
    assert moment(milliseconds) == datetime(2030, 6, 1, 12, 0, 0, 123_000, UTC)
    settings.USE_TZ = False
    assert moment(milliseconds) == datetime(2030, 6, 1, 21, 0, 0, 123_000)  # noqa: DTZ001  as Django has it then


@pytest.mark.parametrize("use_tz", [True, False])
def test_now_is_what_django_says(use_tz, settings, monkeypatch):
    settings.USE_TZ = use_tz
    now = moment(1_906_545_600_123)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert milliseconds_now() == 1_906_545_600_123


def test_due_are_those_whose_time_has_come(database):
    message(1, -1).save()
    message(2, MINUTE).save()
    assert [row.content["n"] for row in DelayedMessage.objects.is_due()] == [1]


def test_waiting_are_those_that_are_to_be_sent(database):
    message(1, -1).save()
    DelayedMessage(channel_name="reports", delay=-1).save()
    assert [row.content["n"] for row in DelayedMessage.objects.waiting()] == [1]


def test_one_row_for_a_key_on_a_channel(database):
    message(key="daily").save()
    DelayedMessage(channel_name="other", content={}, delay=1, key="daily").save()
    message().save()
    message().save()
    with pytest.raises(IntegrityError):
        message(key="daily").save()


def test_rows_are_sent_in_the_order_of_their_times_and_are_gone(database, layer, ears):
    for n, delay in ((2, -1), (1, -MINUTE), (3, MINUTE)):
        message(n, delay).save()
    DelayedMessage(channel_name="reports", delay=-1).save()

    DelayedMessage.objects.all().send(channel_layer=layer)

    assert [ears.take()["n"] for _ in range(3)] == [1, 2, 3]
    assert not ears.has_more()
    assert not DelayedMessage.objects.exists()


def test_a_row_goes_to_the_layer_that_it_names(database, settings):
    settings.CHANNEL_LAYERS = {
        alias: {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []} for alias in ("default", "other")
    }
    message(1).save()
    message(2, layer="other").save()
    DelayedMessage.objects.all().send()
    assert [Ears(channel_layers[alias], "reports").take()["n"] for alias in ("default", "other")] == [1, 2]


def test_a_row_whose_channel_is_full_waits_again(database, at_noon):
    layer = MemoryLayer(BrokerLimits(rules=(("*", ChannelRule(capacity=1)),)))
    message(1).save()
    message(2).save()
    DelayedMessage.objects.all().send(layer, requeue_delay=5000)

    row = DelayedMessage.objects.get()
    assert (row.content, row.due_date) == ({"n": 2}, NOON + timedelta(seconds=5))
    Ears(layer, "reports").take()
    row.send(layer)
    assert not DelayedMessage.objects.exists()


def test_what_has_taken_the_place_of_a_row_meanwhile_stays(database, layer):
    row = message(1, key="daily")
    row.save()
    DelayedMessage.objects.update(name="another")
    row.send(layer)
    assert DelayedMessage.objects.count() == 1


def test_a_row_with_a_wrong_channel_is_not_sent(database, layer):
    row = DelayedMessage(channel_name="no channel", content={}, delay=1)
    with pytest.raises(InvalidName, match="'no channel'"):
        row.send(layer)


def test_a_repeat_goes_under_the_same_id(database, layer, ears):
    row = message(1)
    row.save()
    layer.publish(row.effect())
    row.send(layer)
    assert ears.take() == {"n": 1}
    assert not ears.has_more()
