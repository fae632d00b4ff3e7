"""What takes connects to views from a worker. With clients it is in test_whole_chain and test_ends."""

import threading

import pytest
from django.http import HttpResponse
from django.urls import path

from fairway.layers.codec import decode_message
from fairway.limits import ViewLimits
from fairway.message import Message
from fairway.views import require_websocket
from fairway.views.sockets import ViewSockets
from fairway.worker.outbox import current_outbox
from tests.support.waiting import wait_until

gate = threading.Event()


@require_websocket
def waits(request):
    gate.wait(10)


@require_websocket
async def awaits(request):
    await request.websocket.wait()


def plain(request):
    return HttpResponse()


urlpatterns = [path("waits/", waits), path("awaits/", awaits), path("plain/", plain)]


@pytest.fixture
def sockets(quay, settings):
    settings.ROOT_URLCONF = "tests.views.test_sockets"
    settings.MIDDLEWARE = []
    gate.clear()
    sockets = ViewSockets(quay.layer, ViewLimits(threads=1, coroutines=1))
    yield sockets
    gate.set()
    sockets.close()


def take(quay, sockets, where, **content):
    """Have a connect taken, as a consumer's run does; return what came of it, and its outbox."""
    outbox = quay.connect(where, **content)
    envelope = outbox.delivery.envelope
    message = Message(decode_message(outbox.delivery.body), envelope.channel, quay.layer, envelope=envelope)
    token = current_outbox.set(outbox)
    try:
        return sockets.take(message), outbox
    finally:
        current_outbox.reset(token)


def test_a_view_is_run_and_told_of(quay, sockets):
    is_taken, outbox = take(quay, sockets, "/waits/")
    assert (is_taken, outbox.is_handed_over) == (True, True)
    ((delivery, _, name),) = sockets.running()
    assert (delivery, name) == (outbox.delivery, "fairway-view-1")
    gate.set()
    assert sockets.wait_idle(5)
    assert sockets.running() == []
    assert [sorted(frame) for frame in quay.frames()] == [["accept", "receive_channel"], ["close"]]


def test_a_coroutine_is_run_and_told_of(quay, sockets):
    take(quay, sockets, "/awaits/")
    wait_until(quay.frames, "it to be accepted")
    ((_, _, name),) = sockets.running()
    assert name == "the event loop of the views"
    assert not sockets.wait_idle(0)
    sockets.pause()
    assert sockets.wait_idle(5)
    assert quay.frames()[-1] == {"close": 1012}


@pytest.mark.parametrize("where", ["/nowhere/", "/plain/"])
def test_what_is_none_of_its_business(quay, sockets, where, monkeypatch):
    monkeypatch.setattr("fairway.views.decorators._decorated", set())
    is_taken, outbox = take(quay, sockets, where)
    assert (is_taken, outbox.is_handed_over, outbox.effects) == (False, False, [])


@pytest.mark.parametrize(("where", "query"), [("/plain/", b""), ("/waits/", b"\xff")])
def test_bad_requests(quay, sockets, where, query):
    is_taken, outbox = take(quay, sockets, where, query_string=query)
    assert (is_taken, outbox.is_handed_over) == (True, False)
    assert [decode_message(effect.body) for effect in outbox.effects] == [{"reject": {"status": 400}}]


@pytest.mark.parametrize("where", ["/waits/", "/awaits/"])
def test_no_room(quay, sockets, where, caplog):
    take(quay, sockets, where)
    take(quay, sockets, where)
    wait_until(lambda: any("reject" in frame for frame in quay.frames()))
    (refused,) = [frame["reject"] for frame in quay.frames() if "reject" in frame]
    assert (refused["status"], refused["headers"]) == (503, [[b"retry-after", b"5"]])
    assert "no room for one more view" in caplog.text


def test_a_connect_that_comes_after_the_stop_goes_to_another_worker(quay, sockets):
    sockets.pause()
    _, outbox = take(quay, sockets, "/waits/")
    assert outbox.is_handed_over
    again = quay.reader.receive(5)
    assert (again.envelope.id, again.envelope.attempt) == (outbox.delivery.envelope.id, 1)


def test_after_its_end_it_may_begin_anew(quay, sockets):
    sockets.pause()
    sockets.close()
    gate.set()
    assert take(quay, sockets, "/waits/")[1].is_handed_over
    assert sockets.wait_idle(5)
    assert [sorted(frame) for frame in quay.frames()] == [["accept", "receive_channel"], ["close"]]


@pytest.mark.parametrize("where", ["/waits/", "/awaits/"])
def test_what_fails_outside_the_view_is_logged(quay, sockets, where, monkeypatch, caplog):
    def fail(self, *args, **kwargs):
        raise ValueError("boom")

    monkeypatch.setattr("fairway.views.handler.ViewHandler.respond", fail)
    monkeypatch.setattr("fairway.views.handler.ViewHandler.arespond", fail)
    take(quay, sockets, where)
    assert sockets.wait_idle(5)
    assert "a view with a WebSocket failed" in caplog.text
    assert quay.frames() == [{"reject": {"status": 500, "content": b"Internal Server Error\n"}}]
    assert sockets._live == {}


def test_a_thread_that_cannot_be_made(quay, sockets, monkeypatch, caplog):
    def refuse(*_args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("fairway.views.threads.ViewThreads.submit", refuse)
    _, outbox = take(quay, sockets, "/waits/")
    assert outbox.is_handed_over
    assert "a view with a WebSocket could not be begun" in caplog.text
    assert quay.frames() == [{"reject": {"status": 500, "content": b"Internal Server Error\n"}}]
    assert sockets._live == {}


def test_what_runs_on_when_the_worker_has_stopped_is_told(quay, sockets, caplog):
    take(quay, sockets, "/waits/")
    sockets.pause()
    assert not sockets.wait_idle(0.01)
    sockets.close()
    assert "although views still run; their sockets close: channel websocket.connect, path '/waits/'" in caplog.text
    gate.set()
    assert sockets.wait_idle(5)


def test_outside_of_a_run_nothing_is_taken(quay, sockets):
    message = Message({"path": "/waits/", "reply_channel": "websocket.send.Q1!c1"}, "websocket.connect", quay.layer)
    assert not sockets.take(message)
