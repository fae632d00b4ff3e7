"""Progress in one line: what reaches the sockets of a group, and how often."""

import datetime as dt
import json
import logging
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils.translation import gettext_lazy

from fairway import DEFAULT_CHANNEL_LAYER, Channel, Group, route
from fairway.broker.effects import GroupFrame
from fairway.conf import channel_layers
from fairway.errors import InvalidName, MessageTooLarge
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.tasks import progress
from fairway.tasks.progress import areport_progress, report_progress
from tests.support.chain import Chain
from tests.support.waiting import wait_until

SOCKETS = "websocket.send.L1!"
CLIENT = f"{SOCKETS}c1"


class Listener:
    """A socket in the group `import`."""

    def __init__(self, layer: MemoryLayer, group: str = "import") -> None:
        self._inbox = layer.inbox([SOCKETS], lambda: None)
        layer.group_add(group, CLIENT)

    def heard(self) -> list[dict]:
        """What it was sent since it was asked last."""
        items = self._inbox.drain()
        return [json.loads(decode_message(item.body)["text"]) for item in items if isinstance(item, GroupFrame)]

    def heard_done(self) -> list[float]:
        return [report["done"] for report in self.heard()]


@pytest.fixture
def layer(settings):
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "fairway.layers.MemoryLayer"},
        "other": {"BACKEND": "fairway.layers.MemoryLayer"},
    }
    yield channel_layers[DEFAULT_CHANNEL_LAYER]
    channel_layers.clear()


@pytest.fixture
def listener(layer):
    return Listener(layer)


@pytest.fixture
def clock(monkeypatch):
    """A new pace, with a clock of its own: it stands until a test moves it."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(progress, "_pace", progress.Pace())
    return Clock


def test_a_report_says_how_far_it_is(listener):
    report_progress("import", 57, 200, ship="Long Division")

    assert listener.heard() == [
        {"progress": "import", "done": 57, "total": 200, "percent": 28, "ship": "Long Division"}
    ]


async def test_the_same_from_a_coroutine(listener):
    await areport_progress("import", 57, 200)

    assert listener.heard() == [{"progress": "import", "done": 57, "total": 200, "percent": 28}]


def test_a_group_may_be_of_another_layer(listener):
    other = Listener(channel_layers["other"])
    report_progress(Group("import", "other"), 1, 2)

    assert other.heard_done() == [1]
    assert listener.heard() == []


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 7, 0), (1, 3, 33), (199, 200, 99), (999_999, 1_000_000, 99), (200, 200, 100), (3, 2, 100), (0, 0, 100)],
)
def test_the_percentage_is_rounded_down_so_that_100_means_done(listener, done, total, percent):
    report_progress("import", done, total)

    assert [report["percent"] for report in listener.heard()] == [percent]


def test_fractions_count(listener, clock):
    report_progress("import", 0.5, 2.0)
    clock.now += 1
    report_progress("import", 1 - 1e-16, 1)

    assert [(report["done"], report["percent"]) for report in listener.heard()] == [(0.5, 25), (1 - 1e-16, 99)]


def test_what_django_writes_as_json_may_go_along(listener):
    when = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
    report_progress("import", 1, 2, when=when, price=Decimal("1.50"), text=gettext_lazy("Grüße"), nothing=None)

    [report] = listener.heard()
    assert report["when"] == "2026-05-04T12:00:00Z"
    assert (report["price"], report["text"], report["nothing"]) == ("1.50", "Grüße", None)


# --- at once ---------------------------------------------------------------------------------------------------------


def test_it_leaves_before_the_consumer_has_finished(layer, listener):
    seen = []

    def consumer(message):
        Group("import").send({"text": '{"done": "the consumer"}'})
        report_progress("import", 1, 3)
        seen.extend(listener.heard_done())

    with Chain([route("work", consumer)], layer=layer):
        Channel("work").send({})
        wait_until(lambda: listener.heard_done() == ["the consumer"], "the end of the consumer")
        assert seen == [1]


def test_it_leaves_before_a_coroutine_has_finished(layer, listener):
    seen = []

    async def consumer(message):
        await areport_progress("import", 1, 3)
        seen.extend(listener.heard_done())
        await Group("import").asend({"text": '{"done": "the consumer"}'})

    with Chain([route("work", consumer)], layer=layer):
        Channel("work").send({})
        wait_until(lambda: listener.heard_done() == ["the consumer"], "the end of the consumer")
        assert seen == [1]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_default", [False, True])
def test_it_does_not_wait_for_a_transaction(listener, settings, by_default):
    settings.CHANNEL_SEND_ON_COMMIT = by_default
    with transaction.atomic():
        report_progress("import", 1, 3)
        assert listener.heard_done() == [1]


# --- how often -------------------------------------------------------------------------------------------------------


def test_at_most_twenty_a_second_leave(listener, clock):
    for done in range(1, 1000):
        report_progress("import", done, 1000)
        clock.now += 1 / 1024

    heard = listener.heard_done()
    assert len(heard) == 20
    assert heard[:2] == [1, 53]


def test_the_first_and_the_last_always_leave(listener, clock):
    for done in range(1, 201):
        report_progress("import", done, 200)

    assert listener.heard_done() == [1, 200]


def test_a_report_with_an_error_is_the_last_one(listener, clock):
    report_progress("import", 1, 200)
    report_progress("import", 2, 200)
    report_progress("import", 3, 200, error="Row 3 is empty.")
    report_progress("import", 1, 200)

    assert [(report["done"], report.get("error")) for report in listener.heard()] == [
        (1, None),
        (3, "Row 3 is empty."),
        (1, None),
    ]


def test_after_the_last_report_of_a_group_comes_a_first_one_again(listener, clock):
    for done in (1, 2, 2, 1, 2):
        report_progress("import", done, 2)

    assert listener.heard_done() == [1, 2, 2, 1, 2]


def test_groups_are_counted_apart(layer, listener, clock):
    other = Listener(channel_layers["other"])
    layer.group_add("second", CLIENT)
    for done in (1, 2):
        report_progress("import", done, 9)
        report_progress("second", done, 9)
        report_progress(Group("import", "other"), done, 9)

    assert [(report["progress"], report["done"]) for report in listener.heard()] == [("import", 1), ("second", 1)]
    assert other.heard_done() == [1]


def test_what_is_held_back_is_not_even_encoded(listener, clock):
    report_progress("import", 1, 9)
    report_progress("import", 2, 9, thing=object())

    assert listener.heard_done() == [1]


def test_the_group_that_was_silent_for_longest_is_forgotten(listener, clock, monkeypatch):
    monkeypatch.setattr(progress, "GROUPS", 2)
    for group in ("import", "b", "c", "import"):
        report_progress(group, 1, 9)

    assert listener.heard_done() == [1, 1]
    assert len(progress._pace._earliest) == 2


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "total", "error", "text"),
    [
        (-1, 2, ValueError, "done is 0 or more, not -1"),
        (1, -2.5, ValueError, "total is 0 or more, not -2.5"),
        (float("nan"), 2, ValueError, "done is 0 or more, not nan"),
        (1, float("inf"), ValueError, "total is 0 or more, not inf"),
        ("1", 2, TypeError, "done is a number, not str: '1'"),
        (1, None, TypeError, "total is a number, not NoneType: None"),
        (True, 2, TypeError, "done is a number, not bool: True"),
    ],
)
def test_wrong_numbers_are_errors(listener, done, total, error, text):
    with pytest.raises(error) as caught:
        report_progress("import", done, total)
    assert str(caught.value) == text
    assert listener.heard() == []


@pytest.mark.parametrize("name", ["progress", "percent"])
async def test_its_own_names_cannot_be_taken(listener, name):
    with pytest.raises(ValueError, match=f"a report has a '{name}' of its own"):
        await areport_progress("import", 1, 2, **{name: 1})
    assert listener.heard() == []


def test_what_is_no_json_is_an_error(listener):
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        report_progress("import", 1, 2, thing=object())
    with pytest.raises(ValueError, match="JSON compliant"):
        report_progress("import", 2, 2, rate=float("nan"))
    assert listener.heard() == []


def test_what_a_group_refuses_is_an_error(layer):
    with pytest.raises(InvalidName):
        report_progress("", 1, 2)
    with pytest.raises(InvalidName):
        report_progress(None, 1, 2)
    with pytest.raises(MessageTooLarge):
        report_progress("import", 1, 2, text="x" * 2**24)


# --- a layer that is away --------------------------------------------------------------------------------------------


async def test_without_the_layer_the_work_goes_on_and_the_log_says_so(layer, clock, caplog):
    layer.close()
    with caplog.at_level(logging.WARNING, "fairway.tasks"):
        report_progress("import", 1, 200)
        clock.now += 29
        report_progress("import", 2, 200)
        await areport_progress("import", 3, 200)
        clock.now += 1
        await areport_progress("import", 4, 200)

    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "No progress was reported to the group 'import', and none will be for 30 s"
    ] * 2
