"""Messages for later: what is said to a delay server, and what is refused on the line that sends."""

from datetime import UTC, date, datetime, timedelta
from datetime import timezone as fixed_zone
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from fairway.channel import Channel
from fairway.delay.models import DelayedMessage
from fairway.delay.server import DelayServer
from fairway.errors import InvalidMessage, InvalidName, InvalidSchedule, InvalidScheduleType, MessageTooLarge
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import MessageLimits
from fairway.routing import route
from fairway.scheduling import LONGEST_DELAY, MAX_KEY_LENGTH, check_key
from tests.support.chain import CLIENT, Chain
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 21, 12, 0, 0, 250, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CONTENT = {"n": 1, "raw": b"\xff", "list": [1, {"a": None}], "pair": (1, 2)}
AS_IT_ARRIVES = {**CONTENT, "pair": [1, 2]}


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def work(layer):
    return Channel("work", channel_layer=layer)


def take(layer):
    return decode_message(layer.reader(["asgi.delay"]).receive(1).body)


def milliseconds(moment):
    return -((datetime(1970, 1, 1, tzinfo=UTC) - moment) // timedelta(milliseconds=1))


# --- when ------------------------------------------------------------------------------------------------------------


def test_a_delay_counts_from_the_line_that_sends(work, layer):
    work.send(CONTENT, delay=timedelta(minutes=5))

    assert take(layer) == {
        "channel": "work",
        "content": AS_IT_ARRIVES,
        "delay": 300_000,
        "due": milliseconds(NOW + timedelta(minutes=5)),
    }


async def test_the_same_from_a_coroutine(work, layer):
    await work.asend(CONTENT, delay=5 * SECOND)
    await work.asend(CONTENT, at=NOW + 5 * SECOND, key="k")

    first, second = take(layer), take(layer)
    assert (first["delay"], first["due"]) == (second["delay"], second["due"])
    assert second["key"] == "k"


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (timedelta(0), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(milliseconds=1), 1),
        (timedelta(milliseconds=1, microseconds=1), 2),
        (LONGEST_DELAY, 3653 * 24 * 3600 * 1000),
    ],
)
def test_nothing_is_early_by_a_part_of_a_millisecond(work, layer, delay, expected):
    work.send({}, delay=delay)
    message = take(layer)

    assert message["delay"] == expected
    assert message["due"] == milliseconds(NOW + delay)
    assert datetime.fromtimestamp(message["due"] / 1000, UTC) >= NOW + delay


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 21, 13, 0, tzinfo=UTC),
        datetime(2026, 11, 21, 8, 0, tzinfo=ZoneInfo("America/New_York")),
        datetime(2026, 11, 21, 18, 30, tzinfo=fixed_zone(timedelta(hours=5, minutes=30))),
    ],
)
def test_a_moment_is_the_same_in_each_time_zone(work, layer, at):
    work.send({}, at=at)
    message = take(layer)

    assert message["due"] == milliseconds(datetime(2026, 11, 21, 13, 0, tzinfo=UTC))
    assert message["delay"] == 3_600_000


@pytest.mark.parametrize(
    "at",
    [NOW, NOW - SECOND, datetime.min.replace(tzinfo=fixed_zone(timedelta(hours=14))), datetime(1960, 1, 1, tzinfo=UTC)],
)
def test_a_moment_that_is_over_is_due_at_once(work, layer, at):
    work.send({}, at=at)
    message = take(layer)

    assert (message["due"], message["delay"]) == (milliseconds(NOW), 1)


def test_without_time_zones_a_moment_is_in_the_current_one(work, layer, settings, monkeypatch):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    monkeypatch.undo()  # Django's own clock, which is naive now
    before = datetime.now(UTC)
    work.send({}, at=datetime(2030, 1, 1, 8, 0))  # noqa: DTZ001
    work.send({}, delay=5 * SECOND)
    with timezone.override("Asia/Tokyo"):
        work.send({}, at=datetime(2030, 1, 1, 8, 0))  # noqa: DTZ001

    first, second, third = take(layer), take(layer), take(layer)
    assert first["due"] == milliseconds(datetime(2030, 1, 1, 13, 0, tzinfo=UTC))
    assert milliseconds(before + 5 * SECOND) <= second["due"] <= milliseconds(datetime.now(UTC) + 5 * SECOND)
    assert third["due"] == milliseconds(datetime(2029, 12, 31, 23, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"delay": SECOND, "at": NOW}, "both say when: keep one of the two"),
        ({"delay": -SECOND}, "is negative"),
        ({"delay": LONGEST_DELAY + SECOND}, "more than ten years: is the unit right"),
        ({"delay": timedelta.max}, "more than ten years"),
        ({"at": NOW + LONGEST_DELAY + SECOND}, "more than ten years away: is the year right"),
        ({"at": datetime.max.replace(tzinfo=UTC)}, "more than ten years away"),
        ({"at": NOW.replace(tzinfo=None)}, r"USE_TZ is on: pass it through django.utils.timezone.make_aware\(\)"),
        ({"key": "k"}, r"key='k' names a message for later: add delay=timedelta"),
        ({"delay": SECOND, "key": ""}, "leave key out, or say a name"),
        ({"delay": SECOND, "key": "x" * 201}, "at most 200 characters, this one has 201"),
        ({"delay": SECOND, "key": "a\0"}, r"holds no NUL character, and 'a\\x00' does"),
    ],
)
def test_what_cannot_be_is_a_value_error(work, wrong, says):
    with pytest.raises(InvalidSchedule, match=says) as caught:
        work.send({}, **wrong)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"delay": 5}, r"delay=5: is it seconds or milliseconds\? Say timedelta\(seconds=5\) or"),
        ({"delay": 0.5}, r"timedelta\(milliseconds=0.5\)"),
        ({"delay": "5"}, r"a delay is a datetime.timedelta, not str: '5'"),
        ({"delay": NOW}, "for a moment there is at="),
        ({"at": date(2026, 12, 1)}, "at is a datetime.datetime, not date"),
        ({"at": SECOND}, "for a time from now there is delay="),
        ({"at": 1795272348}, "not int: 1795272348"),
        ({"delay": SECOND, "key": 5}, r"a key is a str, not int: 5; str\(…\) makes one"),
    ],
)
def test_a_wrong_kind_is_a_type_error_too(work, wrong, says):
    with pytest.raises(InvalidScheduleType, match=says) as caught:
        work.send({}, **wrong)
    assert isinstance(caught.value, TypeError)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_comes_with_the_time_of_sending_which_never_stands_still(work, layer, monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 5)
    for _ in range(3):
        work.send({}, delay=SECOND, key="k" * MAX_KEY_LENGTH)
    work.cancel("k")
    messages = [take(layer) for _ in range(4)]

    assert [message["key"] for message in messages] == ["k" * MAX_KEY_LENGTH] * 3 + ["k"]
    stamps = [message["sent"] for message in messages]
    assert stamps == sorted(set(stamps))


def test_the_time_of_sending_is_in_nanoseconds(work, layer):
    before = datetime.now(UTC)
    work.send({}, delay=SECOND, key="k")

    assert milliseconds(before) - 1 <= take(layer)["sent"] // 10**6 <= milliseconds(datetime.now(UTC))


def test_cancelling_names_channel_and_key(work, layer):
    work.cancel("k")
    message = take(layer)

    assert message == {"channel": "work", "key": "k", "sent": message["sent"], "cancel": True}


async def test_cancelling_from_a_coroutine(work, layer):
    await work.acancel("k")

    assert take(layer)["cancel"] is True


@pytest.mark.parametrize("key", ["", "x" * 201, "a\0b", None, 5])
def test_only_a_key_cancels(work, key):
    with pytest.raises(InvalidSchedule):
        work.cancel(key)
    with pytest.raises(InvalidSchedule):
        check_key(key)


def test_only_a_channel_has_something_to_cancel(layer):
    with pytest.raises(InvalidName):
        Channel("a b", channel_layer=layer).cancel("k")


# --- what ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a b", {}, InvalidName),
        ("fairway.dead", {}, InvalidName),
        ("work", "text", TypeError),
        ("work", {"when": object()}, InvalidMessage),
        ("websocket.send.T1!c1", {"txt": "hi"}, InvalidMessage),
    ],
)
def test_a_message_for_later_is_checked_now(layer, name, content, error):
    with pytest.raises(error):
        Channel(name, channel_layer=layer).send(content, delay=SECOND)


def test_it_has_to_fit_with_what_is_added():
    layer = MemoryLayer(message_limits=MessageLimits(body=100))
    work = Channel("work", channel_layer=layer)
    work.send({"data": bytes(80)})

    with pytest.raises(MessageTooLarge):
        work.send({"data": bytes(80)}, delay=SECOND)
    layer.close()


def test_as_deep_as_any_other(work, layer):
    content = {"a": 1}
    for _ in range(63):
        content = {"a": content}
    work.send(content, delay=SECOND)

    assert take(layer)["content"] == content


@pytest.mark.parametrize(
    "call",
    [lambda channel: channel.send({}, delay=SECOND), lambda channel: channel.cancel("k")],
    ids=["send", "cancel"],
)
def test_without_the_app_the_error_tells_what_to_do(work, settings, call):
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "fairway.delay"]

    with pytest.raises(
        ImproperlyConfigured, match=r"'fairway.delay' to INSTALLED_APPS, run `manage.py migrate`.*rundelay"
    ):
        call(work)


# --- in a consumer ---------------------------------------------------------------------------------------------------


def test_in_a_consumer_it_leaves_with_the_commit_and_without_the_connection():
    """By the time it is due, the connection's state is another."""

    def consumer(message):
        message.state["n"] = 1
        work = Channel("work", channel_layer=chain.layer)
        work.send({"reply_channel": message.reply_channel.name}, delay=SECOND)
        work.cancel("later")
        work.send({}, immediately=True, delay=SECOND)
        work.cancel("now", immediately=True)

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("x")
        reader = chain.layer.reader(["asgi.delay"])
        deliveries = [reader.receive(1) for _ in range(4)]

    messages = [decode_message(delivery.body) for delivery in deliveries]
    assert [message.get("content", message.get("key")) for message in messages] == [
        {},
        "now",
        {"reply_channel": CLIENT},
        "later",
    ]
    assert {(delivery.envelope.reply_channel, delivery.envelope.state) for delivery in deliveries} == {("", None)}


# --- with a delay server ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_delay_server_does_what_is_said(layer, work, monkeypatch):
    monkeypatch.undo()  # the clock
    server = DelayServer(layer)
    server.start()
    try:
        work.send({"n": 1}, delay=timedelta(hours=1), key="k")
        work.send({"n": 2}, delay=timedelta(hours=1), key="cancelled")
        work.cancel("cancelled")
        work.send({"n": 3, "raw": b"\xff"}, delay=timedelta(milliseconds=20), key="k")
        work.send({"n": 4}, at=timezone.now() - SECOND)
        work.send({"n": 5}, at=timezone.now() + LONGEST_DELAY)
        reader = layer.reader(["work"])
        found = [decode_message(reader.receive(20).body) for _ in range(2)]
        wait_until(lambda: layer.statistics().committed == 6, "all that was said to be stored")
    finally:
        assert server.stop()
    assert [row.content for row in DelayedMessage.objects.filter(body__isnull=False)] == [{"n": 5}]
    assert sorted(found, key=lambda content: content["n"]) == [{"n": 3, "raw": b"\xff"}, {"n": 4}]
    assert layer.dead_letters() == []
