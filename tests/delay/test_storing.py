"""Requests into the table: each once, and under a key the one that was sent last."""

import time
from datetime import timedelta

import pytest
from django.db import DataError, OperationalError, connection, connections
from django.utils import timezone

from fairway.delay import storing
from fairway.delay.limits import DelayLimits
from fairway.delay.models import DelayedMessage, DelayedMessageQuerySet, milliseconds_now, moment
from fairway.delay.parsing import Request
from fairway.layers.codec import encode_message
from tests.delay.harness import in_thread

LIMITS = DelayLimits()
HOUR = 3600 * 10**9
NOW = time.time_ns() - 10_000_000_000
"""Some seconds ago, so that what was sent a moment later was sent in the past, too."""


def request(n, key=None, sent=0, *, cancel=False, **more):
    fields = {"name": f"{n:032x}", "channel": "reports", "due": milliseconds_now() + 60_000, "key": key, "sent": sent}
    return Request(**{**fields, "body": None if cancel else encode_message({"n": n}), **more})


def store(*requests):
    storing.store(requests, "default", LIMITS)


def contents():
    return [row.content for row in DelayedMessage.objects.order_by("id")]


def test_all_that_is_asked_for_is_kept(database):
    due = milliseconds_now() + 5
    store(request(1, due=due, reply_channel="websocket.send.a!b"), request(2))
    first = DelayedMessage.objects.get(name=f"{1:032x}")
    kept = (first.layer, first.channel_name, first.due_date, first.key, first.sent, first.reply_channel, first.content)
    assert kept == ("default", "reports", moment(due), None, 0, "websocket.send.a!b", {"n": 1})


def test_rows_come_in_the_order_of_the_requests(database):
    store(*map(request, range(300)))
    assert contents() == [{"n": n} for n in range(300)]


def test_a_repeat_is_stored_once(database):
    store(request(1), request(2, "daily", NOW))
    store(request(2, "daily", NOW), request(1), request(3))
    assert contents() == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_under_a_key_the_later_one_takes_the_place_of_the_earlier(database):
    store(request(1, "daily", NOW), request(2, "daily", NOW + 1, channel="other"))
    store(request(3, "daily", NOW + 2, due=1))
    rows = DelayedMessage.objects.order_by("channel_name")
    assert [(row.content["n"], row.sent) for row in rows] == [(2, NOW + 1), (3, NOW + 2)]
    assert rows[1].due_date == moment(1)


def test_an_earlier_one_that_comes_later_changes_nothing(database):
    store(request(2, "daily", NOW + 2))
    store(request(1, "daily", NOW + 1))
    assert contents() == [{"n": 2}]


def test_of_two_that_were_sent_at_once_the_last_to_come_holds(database):
    store(request(1, "daily", NOW), request(2, "daily", NOW))
    assert contents() == [{"n": 2}]


def test_what_came_from_a_clock_that_was_ahead_does_not_hold_for_ever(database):
    """A time that is still to come proves that a clock was set, so the order of arrival decides."""
    store(request(1, "daily", time.time_ns() + HOUR))
    store(request(2, "daily", NOW))
    assert contents() == [{"n": 2}]


def test_one_clock_that_is_ahead_tells_what_was_sent_later_all_the_same(database):
    ahead = time.time_ns() + HOUR
    store(request(1, "daily", ahead + 1))
    store(request(2, "daily", ahead))
    assert contents() == [{"n": 1}]


def test_a_cancellation_leaves_a_trace_for_a_while(database):
    store(request(1, "daily", NOW))
    before = timezone.now()
    store(request(2, "daily", NOW + 2, cancel=True))
    row = DelayedMessage.objects.get()
    assert (row.body, row.content) == (None, {})
    assert row.due_date - before >= timedelta(seconds=LIMITS.tombstone)

    store(request(1, "daily", NOW + 1))
    assert not DelayedMessage.objects.waiting().exists()
    store(request(3, "daily", NOW + 3))
    assert contents() == [{"n": 3}]


def test_a_cancellation_that_overtakes_its_message_holds(database):
    store(request(2, "daily", NOW + 2, cancel=True))
    store(request(1, "daily", NOW + 1))
    assert not DelayedMessage.objects.waiting().exists()


def test_all_or_nothing(postgresql):
    """SQLite takes text of any length."""
    with pytest.raises(DataError):
        store(request(1), request(2, "k" * 201, NOW))
    assert contents() == []


def test_rows_of_another_layer_are_no_rivals(database):
    storing.store([request(1, "daily", NOW + 1)], "other", LIMITS)
    store(request(2, "daily", NOW))
    assert DelayedMessage.objects.count() == 2


def test_a_row_that_goes_away_meanwhile_is_made_anew(database, monkeypatch):
    """Another server deletes the trace that was in the way, between the two looks at it."""
    store(request(1, "daily", NOW))
    real = DelayedMessageQuerySet.bulk_create
    tries = []

    def create(self, rows, **options):
        found = real(self, rows, **options)
        if not tries:
            self.model.objects.all().delete()
        tries.append(1)
        return found

    monkeypatch.setattr(DelayedMessageQuerySet, "bulk_create", create)
    store(request(2, "daily", NOW + 1))
    assert contents() == [{"n": 2}]
    assert len(tries) == 2


def test_a_row_that_comes_and_goes_is_left_for_later(database, monkeypatch):
    monkeypatch.setattr(DelayedMessageQuerySet, "bulk_create", lambda *_args, **_options: None)
    with pytest.raises(OperationalError, match="the row of the key 'daily' on 'reports' comes and goes"):
        store(request(1, "daily", NOW))


def test_two_servers_that_store_the_same_agree(database):
    """What was taken for lost by the layer may be stored by two at the same time."""
    connection.close()
    batches = [[request(n, f"key {n % 7}", NOW + n) for n in range(start, 140, 2)] for start in (0, 1)]

    def work(batch):
        def run():
            try:
                for start in range(0, len(batch), 10):
                    while True:
                        try:
                            store(*batch[start : start + 10])
                            break
                        except OperationalError:  # SQLite's lock, or a deadlock: a server tries again
                            connection.close()
            finally:
                connections.close_all()

        return run

    for thread in [in_thread(work(batch)) for batch in batches]:
        thread.join(30)
    assert sorted(row.content["n"] for row in DelayedMessage.objects.all()) == list(range(133, 140))
