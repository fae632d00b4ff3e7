"""What a worker runs: routing, signals, database care, coroutines, and what the routing leaves over."""

import asyncio
import logging
import math
import threading
import time

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.urls import path

from fairway.application import DjangoApplication, application_for
from fairway.broker.effects import Ask, Delivery, Envelope
from fairway.channel import Channel
from fairway.conf import channel_layers
from fairway.consumers import Retry, background
from fairway.errors import InvalidLayerSetting, WebsocketCloseException
from fairway.http.consumers import ViewConsumer
from fairway.layers.codec import decode_message, encode_message, pack_value
from fairway.layers.memory import MemoryLayer
from fairway.routing import Router, route
from fairway.signals import consumer_finished, consumer_started
from fairway.worker.loop import Worker
from tests.support.chain import REQUESTS, Chain, answer_nothing
from tests.support.waiting import wait_until


def accept(message, **kwargs):
    message.reply_channel.send({"accept": True})


def echo(message, **kwargs):
    message.reply_channel.send({"text": message["text"]})


async def aecho(message, **kwargs):
    await message.reply_channel.asend({"text": message["text"]})


def fail(message):
    raise ValueError("boom")


# --- consumers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consumer", [echo, aecho])
def test_a_consumer_answers(consumer):
    with Chain([route("websocket.receive", consumer)]) as chain:
        assert chain.receive("hi") == [{"text": "hi"}]


def test_a_callable_object_that_is_a_coroutine():
    class Echo:
        __hash__ = None

        async def __call__(self, message):
            await aecho(message)

    with Chain([route("websocket.receive", Echo())]) as chain:
        assert chain.receive("hi") == [{"text": "hi"}]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_consumer_may_end_with_an_act(is_async):
    def close(message):
        raise WebsocketCloseException(4001)

    async def aclose(message):
        raise WebsocketCloseException

    with Chain([route("websocket.receive", aclose if is_async else close)]) as chain:
        assert chain.receive("hi") == [{"close": True if is_async else 4001}]


def test_the_consumer_of_another_channel_may_close_the_socket_that_its_message_names():
    def close(message):
        raise WebsocketCloseException(4001)

    with Chain([route("work", close)]) as chain:
        chain.run("work", {})
        assert chain.frames() == [{"close": 4001}]


def test_a_coroutine_in_disguise_is_awaited():
    with Chain([route("websocket.receive", lambda message, **kwargs: aecho(message))]) as chain:
        assert chain.receive("hi") == [{"text": "hi"}]


def test_a_slow_coroutine_does_not_hold_up_others():
    go = asyncio.Event()

    async def consumer(message):
        if message["text"] == "slow":
            await go.wait()
        else:
            go.set()

    with Chain([route("websocket.receive", consumer)], threads=1) as chain:
        chain.submit("websocket.receive", {"path": "/", "text": "slow"}, reply="websocket.send.T1!slow")
        chain.receive("quick")
        wait_until(lambda: chain.dones("websocket.send.T1!slow"))


# --- what the routing leaves over ------------------------------------------------------------------------------------


def test_channels_that_every_worker_reads():
    application = DjangoApplication(MemoryLayer(), Router([route("work", echo)]))

    assert application.channels == [
        "http.request",
        "websocket.connect",
        "websocket.disconnect",
        "websocket.event",
        "websocket.receive",
        "work",
    ]


def test_an_unrouted_path_is_not_found(caplog):
    with Chain([route("websocket.connect", accept, path="^/chat")]) as chain:
        assert chain.connect("/other\n") == [{"reject": {"status": 404}}]
        assert chain.connect("/chat") == [{"accept": True}]
    assert [record.getMessage() for record in caplog.records] == [
        r"Not Found: '/other\n' (no WebSocket consumer for this path)"
    ]


@pytest.mark.parametrize(
    "routing",
    [
        [route("websocket.receive", echo)],
        [route("websocket.receive", echo, path="^/chat", text="^say")],
        [route("websocket.event", echo, path="^/chat")],
        [path("chat", route("websocket.disconnect", echo))],
    ],
)
def test_a_path_whose_connect_alone_is_not_routed_is_accepted(routing):
    with Chain(routing) as chain:
        assert chain.connect("/chat") == [{"accept": True}]


def test_messages_of_a_socket_that_nobody_wants_are_consumed(caplog):
    with Chain() as chain:
        chain.receive("hi")
        chain.run("websocket.disconnect", {"path": "/", "code": 1000}, order=2)
    assert caplog.records == []


def test_an_event_that_nobody_wants_is_in_the_log(caplog):
    with Chain() as chain:
        chain.run("websocket.event", {"path": "/x", "event": {"type": "chat.gone"}}, order=1)
    assert caplog.messages == ["no consumer for the event 'chat.gone' on path '/x'"]


def test_an_application_message_without_a_route_is_in_the_log(caplog):
    with Chain([route("work", echo, kind="a")]) as chain:
        Channel("work", channel_layer=chain.layer).send({"kind": "b"})
        wait_until(lambda: chain.layer.statistics().committed == 1)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("on channel work: dropped")


def test_a_connect_without_a_reply_channel_is_consumed():
    with Chain() as chain:
        Channel("websocket.connect", channel_layer=chain.layer).send({"path": "/"})
        wait_until(lambda: chain.layer.statistics().committed == 1)


def test_requests_go_to_djangos_views(settings, caplog):
    settings.ROOT_URLCONF = "tests.http.pages"
    layer = MemoryLayer()
    application = DjangoApplication(layer, Router([]))
    assert isinstance(application._fallbacks["http.request"], ViewConsumer)
    request = {"http_version": "1.1", "method": "GET", "path": "/nowhere", "query_string": b"", "headers": []}
    with Chain(application=application, layer=layer) as chain:
        chain.run("http.request", request, reply=f"{REQUESTS}r1")
        (response,) = chain.frames(f"{REQUESTS}r1")
    assert response["status"] == 404


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_a_failing_consumer_is_named_in_the_log(caplog):
    with Chain([route("websocket.receive", fail)]) as chain:
        chain.receive("hi", path="/chat")
    (record,) = caplog.records
    assert record.getMessage().startswith("consumer failed: channel websocket.receive, path '/chat', reply channel ")
    assert "ValueError: boom" in caplog.text
    assert 'in fail\n    raise ValueError("boom")' in caplog.text


def test_a_consumer_says_how_it_is_tried_again_and_how_long_it_may_take():
    @background(retry=3, time_limit=20)
    def consumer(message):
        """Limited."""

    layer = MemoryLayer()
    application = DjangoApplication(layer, Router([route("limited", consumer), route("free", echo)]))
    said = []
    for channel in ("limited", "free", "unrouted"):
        delivery = Delivery(Envelope("m1", channel), encode_message({}), 1)
        said.append((application.prepare(delivery).retry, application.time_limit(delivery)))
    assert said == [(Retry(3), 20.0), (None, math.inf), (None, math.inf)]


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def signals():
    seen = []

    def started(**kwargs):
        seen.append(("started", kwargs["sender"], kwargs["environ"]))

    def finished(**kwargs):
        seen.append(("finished", kwargs["sender"]))

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    yield seen
    consumer_started.disconnect(started)
    consumer_finished.disconnect(finished)


@pytest.mark.parametrize("consumer", [echo, aecho, fail])
def test_signals_around_each_consumer(signals, consumer, caplog):
    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("hi")
    assert signals == [("started", Worker, {}), ("finished", Worker)]


def test_a_receiver_that_fails_at_the_end_changes_no_outcome(caplog):
    def receiver(**kwargs):
        raise LookupError

    consumer_finished.connect(receiver)
    try:
        with Chain([route("websocket.connect", accept)]) as chain:
            assert chain.connect() == [{"accept": True}]
    finally:
        consumer_finished.disconnect(receiver)
    assert "LookupError" in caplog.text


# --- database connections --------------------------------------------------------------------------------------------


@pytest.fixture
def database(transactional_db, django_db_blocker):
    with django_db_blocker.unblock():
        yield


def open_connection():
    """Open this thread's connection, one that Django closes as it closes those of other databases."""
    connection.ensure_connection()
    connection.close_at = None
    connection.is_in_memory_db = lambda: False
    return connections["default"]


def test_a_stale_connection_is_closed_before_and_after(database):
    seen = []

    def consumer(message):
        seen.append(connection.connection is not None)
        open_connection()
        if message["text"] == "stale":
            connection.close_at = time.monotonic() - 1

    with Chain([route("websocket.receive", consumer)], threads=1) as chain:
        for order, text in enumerate(["keep", "keep", "stale", "keep"], 1):
            chain.receive(text, order=order)
    assert seen == [False, True, True, False]


def test_old_queries_are_forgotten(database, settings):
    settings.DEBUG = True
    counts = []

    def consumer(message):
        counts.append(len(connection.queries))
        with open_connection().cursor() as cursor:
            cursor.execute("SELECT 1")

    with Chain([route("websocket.receive", consumer)], threads=1) as chain:
        for order in (1, 2, 3):
            chain.receive("", order=order)
    assert counts == [0, 0, 0]


def test_a_thread_that_ends_closes_its_connections(database):
    kept = []

    def consumer(message):
        kept.append(open_connection())

    with Chain([route("websocket.receive", consumer)], threads=1) as chain:
        chain.receive("")
        assert kept[0].connection is not None
    assert kept[0].connection is None


def test_a_coroutine_has_a_thread_and_connections_of_its_own(database):
    seen, kept = [], []

    def query():
        seen.append(threading.current_thread())
        kept.append(open_connection())

    async def consumer(message):
        await sync_to_async(query)()
        await sync_to_async(query)()

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("", order=1)
        chain.receive("", order=2)
    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert seen[0] is not seen[2]
    assert [kept_one.connection for kept_one in kept] == [None] * 4
    assert not SyncToAsync.context_to_thread_executor


# --- from the settings -----------------------------------------------------------------------------------------------


def test_an_application_for_an_alias(settings):
    backend = "fairway.layers.MemoryLayer"
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": backend, "ROUTING": {"a": echo}},
        "other": {"BACKEND": backend, "ROUTING": []},
        "bare": {"BACKEND": backend},
        "wrong": {"BACKEND": backend, "ROUTING": "no.such.routing"},
    }

    application = application_for(http_consumer=echo)
    assert application.layer is channel_layers["default"]
    assert "a" in application.channels
    assert application_for("other").layer is channel_layers["other"]
    with pytest.raises(InvalidLayerSetting, match=r"\['bare'\] has no 'ROUTING'"):
        application_for("bare")
    with pytest.raises(ImproperlyConfigured):
        application_for("wrong")


def test_the_state_of_a_stranger_is_asked_for_without_blocking_the_loop():
    """A coroutine may look at the state of a connection whose server must be asked."""
    seen = []

    async def consumer(message):
        seen.append(await sync_to_async(lambda: dict(message.state))())

    with Chain([route("work", consumer)]) as chain:
        Channel("work", channel_layer=chain.layer).send({"reply_channel": "websocket.send.T1!c1"})
        ask = wait_until(lambda: [item for item in chain.look() if isinstance(item, Ask)])[0]
        chain.inbox.answer(ask.token, {})
        wait_until(lambda: seen)
    assert seen == [{}]


def test_the_end_of_a_views_socket_that_its_server_could_not_tell_is_passed_on():
    with Chain() as chain:
        reader = chain.layer.reader(["websocket.view.a!"])
        state = {"fairway.view": pack_value("websocket.view.a!1", "")}
        chain.run("websocket.disconnect", {"path": "/", "code": 1006}, state=state)
        passed_on = reader.receive(5)
        assert passed_on.envelope.channel == "websocket.view.a!1"
        assert decode_message(passed_on.body)["code"] == 1006


def test_what_runs_views_with_websockets_is_a_companion_of_the_worker():
    application = DjangoApplication(MemoryLayer(), Router([]), http_consumer=answer_nothing)
    (sockets,) = application.companions
    assert sockets.running() == []
