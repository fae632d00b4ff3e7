"""The delay server: what comes on `asgi.delay` is stored, acknowledged, and sent when it is due."""

import contextlib
import logging
import threading
import time
from datetime import datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from fairway import Channel
from fairway.delay.models import DelayedMessage, milliseconds_now
from fairway.delay.server import DelayServer
from fairway.delay.storing import store
from fairway.layers import LocalLayer, RedisLayer
from fairway.layers.memory import MemoryLayer
from fairway.limits import MIB, BrokerLimits, ChannelRule, MessageLimits
from tests.delay.harness import QUICK, Ears
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until

HOUR = 3_600_000


def ask(layer, n=1, delay=1, **more):
    layer.send("asgi.delay", {"channel": "reports", "content": {"n": n}, "delay": delay, **more})


def committed(layer, count):
    wait_until(lambda: layer.statistics().committed >= count, "the acknowledgement")


def test_a_message_arrives_when_it_is_due(layer, serve, ears):
    serve()
    began = timezone.now()
    layer.send("asgi.delay", {"channel": "reports", "content": {"n": 1, "raw": b"\0\xff"}, "delay": 60})

    assert ears.take() == {"n": 1, "raw": b"\0\xff"}
    assert timezone.now() - began >= timedelta(milliseconds=60)
    wait_until(lambda: not DelayedMessage.objects.exists(), "the row to go")


def test_what_is_acknowledged_is_in_the_database(layer, serve):
    serve()
    ask(layer, delay=HOUR)

    committed(layer, 1)
    row = DelayedMessage.objects.get()
    assert (row.channel_name, row.content, row.layer) == ("reports", {"n": 1}, "default")


def test_messages_arrive_in_the_order_of_their_times(layer, serve, ears, monkeypatch):
    serve()
    due = milliseconds_now() + HOUR
    for n, later in ((3, 20), (1, 0), (2, 0), (4, 20)):
        ask(layer, n, due=due + later)
    committed(layer, 4)
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(hours=2))

    assert [ears.take()["n"] for _ in range(4)] == [1, 2, 3, 4]


def test_a_server_that_starts_sends_what_became_due_meanwhile_and_tells_what_waits(layer, serve, ears, caplog):
    caplog.set_level(logging.INFO, "fairway.delay")
    for n, delay in enumerate((-5000, HOUR)):
        DelayedMessage(channel_name="reports", content={"n": n}, delay=delay).save()
    due = DelayedMessage.objects.get(due_date__gt=timezone.now()).due_date

    serve()

    assert ears.take() == {"n": 0}
    wait_until(lambda: "wait for their time" in caplog.text, "the line")
    assert f"messages that wait for their time: 1; the next is due at {due:%Y-%m-%d %H:%M:%S} UTC" in caplog.text


def test_what_left_late_is_reported(layer, serve, ears, caplog):
    for n in range(3):
        DelayedMessage(channel_name="reports", content={"n": n}, delay=-90_000 - n).save()

    serve()

    wait_until(lambda: caplog.messages, "the report")
    [told] = caplog.messages
    assert told.startswith("3 delayed messages left more than 1 s after their time; the latest, to 'reports', 90")


def test_what_somebody_puts_into_the_table_is_found(serve, ears):
    serve()
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=1).save()

    assert ears.take() == {"n": 1}


def test_the_rows_of_other_layers_are_let_be(serve, ears):
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=1, layer="other").save()
    DelayedMessage(channel_name="reports", content={"n": 2}, delay=2).save()
    serve()

    assert ears.take() == {"n": 2}
    wait_until(lambda: DelayedMessage.objects.count() == 1, "the row to go")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"delay": 0}, "'delay' is 0; it must be a whole number of milliseconds, 1 or more"),
        ({"channel": "no channel", "delay": 5}, "'channel': 'no channel' is no channel name: "),
    ],
)
def test_what_cannot_be_done_is_a_dead_letter_with_its_reason_and_the_server_goes_on(
    layer, serve, ears, caplog, request_, reason
):
    serve()
    layer.send("asgi.delay", {"channel": "reports", "content": {}, **request_})
    ask(layer)

    assert ears.take() == {"n": 1}
    dead = wait_until(layer.dead_letters, "a dead letter")
    assert [letter.reason[: len(reason)] for letter in dead] == [reason]
    assert reason in caplog.text


def test_what_the_database_refuses_is_a_dead_letter_alone(layer, serve, ears, postgresql):
    """A column that somebody has made narrower: nothing that is checked is refused by the table as it should be."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE fairway_delay_delayedmessage ALTER channel_name TYPE varchar(10)")
    for n, channel in enumerate(("reports", "r" * 11, "reports")):
        layer.send("asgi.delay", {"channel": channel, "content": {"n": n}, "delay": 1})
    serve()

    assert [ears.take()["n"] for _ in range(2)] == [0, 2]
    dead = wait_until(layer.dead_letters, "a dead letter")
    assert [letter.reason for letter in dead] == [
        "the database refuses it: value too long for type character varying(10)"
    ]


def test_what_the_driver_refuses_is_a_dead_letter_alone(layer, serve, ears, sqlite, monkeypatch):
    """Such as a value of which no check knows yet that the driver of some database refuses it."""

    def store_some(requests, *more):
        if any(request.channel == "other" for request in requests):
            raise ValueError("not with\nthis driver")
        store(requests, *more)

    monkeypatch.setattr("fairway.delay.server.store", store_some)
    for n, channel in enumerate(("reports", "other", "reports")):
        layer.send("asgi.delay", {"channel": channel, "content": {"n": n}, "delay": 1})
    serve()

    assert [ears.take()["n"] for _ in range(2)] == [0, 2]
    dead = wait_until(layer.dead_letters, "a dead letter")
    assert [letter.reason for letter in dead] == ["the database refuses it: not with this driver"]


def test_requests_are_held_while_the_database_is_away(layer, serve, ears, database, caplog):
    caplog.set_level(logging.INFO, "fairway.delay")
    server = serve()
    wait_until(lambda: server.is_ready, "the server")
    ask(layer, 1)
    assert ears.take() == {"n": 1}
    with database.away():
        for n in (2, 3):
            ask(layer, n)
        wait_until(lambda: "is away" in caplog.text, "the warning")
        assert layer.statistics().committed == 2  # the first request, and our own
        ask(layer, 4, delay=HOUR)

    assert [ears.take()["n"] for _ in range(2)] == [2, 3]
    wait_until(lambda: DelayedMessage.objects.count() == 1, "the rows to go")
    wait_until(lambda: "is back after" in caplog.text, "the line")
    told = [message.partition(" after")[0].partition(",")[0] for message in caplog.messages[1:]]
    assert told == ["the database is away", "the database is back"]


def test_an_error_of_the_driver_itself_is_one_of_the_database(layer, serve, ears, postgresql, monkeypatch, caplog):
    """Django lets some through, such as that of a cursor that is closed while its connection breaks."""
    errors = [psycopg.OperationalError("the connection is lost")]

    def store_later(*arguments):
        if errors:
            raise errors.pop()
        store(*arguments)

    monkeypatch.setattr("fairway.delay.server.store", store_later)
    serve()
    ask(layer)
    assert ears.take() == {"n": 1}
    assert "the database is away, and messages wait until it is back: the connection is lost" in caplog.text


def test_django_keeps_no_queries(serve, database, settings, monkeypatch):
    """With DEBUG on it keeps thousands, each with the messages in it."""
    settings.DEBUG = True
    real, kept = timezone.now, []

    def now():
        if threading.current_thread().name == "fairway-delay":
            kept.append(len(connection.queries_log))
        return real()

    monkeypatch.setattr(timezone, "now", now)
    serve(look=0.001)
    wait_until(lambda: len(kept) > 100, "many turns")
    assert max(kept) < 10


def test_what_is_held_at_a_stop_goes_to_the_next_server(layer, serve, ears, database, caplog):
    first = serve(look=60)
    wait_until(lambda: first.is_ready, "the server")
    with database.away():
        ask(layer)
        wait_until(lambda: "the database is away" in caplog.text, "the warning")
        assert layer.statistics().channels["asgi.delay"].leased == 1
        assert first.stop()

    assert layer.statistics().channels["asgi.delay"].waiting == 1
    serve()
    assert ears.delivery().envelope.attempt == 1


def test_while_the_layer_is_away_messages_stay_in_the_database(database, tmp_path, caplog):
    caplog.set_level(logging.INFO, "fairway.delay")
    path = tmp_path / "h"
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=1).save()
    layer = LocalLayer(str(path), wait=0.05)
    server = DelayServer(layer, limits=QUICK)
    server.start()
    try:
        wait_until(lambda: "the layer is away" in caplog.text, "the warning")
        with HubThread(path):
            assert Ears(layer, "reports").take() == {"n": 1}
            wait_until(lambda: "the layer is back" in caplog.text, "the line")
            wait_until(lambda: not DelayedMessage.objects.exists(), "the row to go")
            DelayedMessage(channel_name="reports", content={"n": 2}, delay=500).save()
        wait_until(lambda: caplog.text.count("the layer is away") == 2, "the warning")
        with HubThread(path):
            assert Ears(layer, "reports").take() == {"n": 2}
    finally:
        assert server.stop()
        layer.close()


def test_a_full_channel_holds_up_no_other_and_loses_nothing(database, caplog):
    layer = MemoryLayer(BrokerLimits(rules=(("slow", ChannelRule(capacity=2)), ("*", ChannelRule()))))
    for n in range(6):
        DelayedMessage(channel_name="slow", content={"n": n}, delay=n - 100).save()
    DelayedMessage(channel_name="reports", content={"n": 9}, delay=1).save()
    server = DelayServer(layer, limits=QUICK)
    server.start()
    try:
        assert Ears(layer, "reports").take() == {"n": 9}
        wait_until(lambda: caplog.messages, "the warning")
        slow = Ears(layer, "slow")
        assert [slow.take()["n"] for _ in range(6)] == list(range(6))
        assert caplog.messages == [
            "no room in 'slow' (4 delayed messages): what is due there waits until its consumers catch up"
        ]
    finally:
        assert server.stop()
        layer.close()


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_makes_nothing_early_and_keeps_nothing(seconds, layer, serve, ears, monkeypatch):
    """What is due in an hour leaves when the clock says so, whatever it said before."""
    real, ahead = timezone.now, timedelta(0)
    monkeypatch.setattr(timezone, "now", lambda: real() + ahead)
    serve()
    ask(layer, 1, due=milliseconds_now() + HOUR)
    committed(layer, 1)

    ahead = timedelta(seconds=seconds)
    ask(layer, 2, due=milliseconds_now() + 50)
    assert ears.take() == {"n": 1 if seconds > 0 else 2}

    ahead = timedelta(hours=1)
    assert ears.take() == {"n": 2 if seconds > 0 else 1}


def test_two_servers_share_the_work(layer, serve, ears):
    for n in range(200):
        DelayedMessage(channel_name="reports", content={"n": n}, delay=1).save()
    serve(batch=10)
    serve(batch=10)
    for n in range(200, 400):
        ask(layer, n)

    assert sorted(ears.take()["n"] for _ in range(400)) == list(range(400))
    wait_until(lambda: not DelayedMessage.objects.exists(), "the rows to go")
    assert not ears.has_more()


def test_a_key_names_one_message_on_its_channel(layer, serve, ears):
    serve()
    now = time.time_ns()
    for n, sent, delay in ((1, now, HOUR), (2, now + 2, 200), (3, now + 1, 1)):
        ask(layer, n, delay, key="daily", sent=sent)
    ask(layer, 4, 250)

    assert [ears.take()["n"] for _ in range(2)] == [2, 4]


def test_what_was_cancelled_does_not_come(layer, serve):
    serve()
    now = time.time_ns()
    ask(layer, 1, HOUR, key="daily", sent=now)
    layer.send("asgi.delay", {"channel": "reports", "key": "daily", "sent": now + 1, "cancel": True})
    committed(layer, 2)
    assert not DelayedMessage.objects.waiting().exists()


def test_a_channel_says_it_in_one_line(layer, serve, ears):
    serve()
    channel = Channel("reports", channel_layer=layer)
    channel.send({"n": 1}, delay=timedelta(hours=1), key="daily")
    channel.send({"n": 2}, at=timezone.now() + timedelta(milliseconds=50), key="daily")
    channel.send({"n": 3}, delay=timedelta(hours=1), key="weekly")
    channel.cancel("weekly")

    assert ears.take() == {"n": 2}
    wait_until(lambda: not DelayedMessage.objects.waiting().exists(), "the rows to go")


def test_what_was_cancelled_holds_up_none_after_it(layer, serve, ears):
    """A server wakes for it, and finds nothing; that is no sign that another server holds what is due."""
    serve(others_pause=60)
    now = time.time_ns()
    ask(layer, 1, 200, key="daily", sent=now)
    layer.send("asgi.delay", {"channel": "reports", "key": "daily", "sent": now + 1, "cancel": True})
    ask(layer, 2, 500)

    assert ears.take()["n"] == 2


@pytest.mark.parametrize("kind", ["hub", "redis"])
def test_each_kind_of_layer_carries_it(kind, sqlite, tmp_path, request):
    """Requests in one burst, and what cannot be done among them."""
    with contextlib.ExitStack() as stack:
        if kind == "hub":
            stack.enter_context(HubThread(tmp_path / "h"))
            layer = LocalLayer(str(tmp_path / "h"))
        else:
            layer = RedisLayer(request.getfixturevalue("shared_redis").url)
        stack.callback(layer.close)
        server = DelayServer(layer, limits=QUICK)
        server.start()
        stack.callback(server.stop)
        ears = Ears(layer, "reports")
        for n in range(700):
            ask(layer, n, delay=n % 350)  # two of them have no delay

        assert sorted(ears.take()["n"] for _ in range(698)) == sorted({*range(700)} - {0, 350})
        assert not ears.has_more()
        reasons = [letter.reason for letter in wait_until(layer.dead_letters, "the dead letters")]
        assert reasons == ["'delay' is 0; it must be a whole number of milliseconds, 1 or more"] * 2
        wait_until(lambda: not DelayedMessage.objects.exists(), "the rows to go")
        assert server.describe() == "working: 698 messages stored, 698 sent"


def test_a_server_that_fails_says_so_and_ends_and_another_goes_on(layer, serve, ears, monkeypatch, caplog):
    server = serve()
    wait_until(lambda: server.is_ready, "the server")
    with monkeypatch.context() as patch:
        patch.setattr("fairway.delay.server.store", None)
        ask(layer)
        wait_until(lambda: not server.is_alive, "its end")
    assert "the delay server itself failed" in caplog.text
    assert layer.statistics().committed == 0

    serve()
    assert ears.take() == {"n": 1}


def test_a_server_outlives_its_layer_until_it_is_stopped(layer, serve):
    """Whoever closes the layer of this process is about to stop its servers."""
    server = serve()
    wait_until(lambda: server.is_ready, "the server")
    layer.close()
    assert server.is_alive


def test_a_server_may_run_in_the_thread_that_calls_it(layer, ears, database):
    server = DelayServer(layer, limits=QUICK)
    assert server.stop()
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=-1).save()
    server.run()
    assert DelayedMessage.objects.count() == 1
    assert server.describe() == "waiting for the layer or the database"


def test_without_tz_times_are_local(layer, serve, ears, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    serve()
    began = datetime.now()  # noqa: DTZ005  as Django has it then
    Channel("reports", channel_layer=layer).send({"n": 1}, delay=timedelta(hours=1), key="daily")
    ask(layer, 2, 50)

    assert ears.take() == {"n": 2}
    due = DelayedMessage.objects.get(key="daily").due_date
    assert timedelta(0) <= due - began - timedelta(hours=1) < timedelta(minutes=10)


def test_what_was_taken_back_while_no_server_ran_is_not_sent_by_the_next(layer, serve, ears):
    """Its time has come meanwhile, and many other requests have come before the one that takes it back."""
    now = time.time_ns()
    DelayedMessage(channel_name="reports", content={"n": 1}, delay=1, key="daily", sent=now).save()
    for n in range(2, 20):
        ask(layer, n, 1)
    layer.send("asgi.delay", {"channel": "reports", "key": "daily", "sent": now + 1, "cancel": True})
    serve(batch=5)

    assert sorted(ears.take()["n"] for _ in range(18)) == list(range(2, 20))
    assert not ears.has_more()


def test_a_message_may_be_as_large_as_its_layer_says(layer, serve, sqlite, ears):
    layer.message_limits = MessageLimits(body=10 * MIB)
    Channel("reports", channel_layer=layer).send({"text": "x" * 9 * MIB}, delay=timedelta(milliseconds=1))
    serve()

    assert len(ears.take()["text"]) == 9 * MIB
