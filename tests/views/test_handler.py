"""Django around a view that owns a WebSocket: what is peculiar to it. The rest is in test_whole_chain."""

import logging
from types import SimpleNamespace

import pytest
from django.core.exceptions import BadRequest
from django.core.signals import request_finished, request_started
from django.http import HttpResponse
from django.urls import path

from fairway.errors import ChannelFull, ChannelGone, ResponseLater
from fairway.http.current import call_when_answered, current_request
from fairway.message import Message
from fairway.views.connection import Phase
from fairway.views.decorators import NoAnswer
from fairway.views.handler import ViewHandler, first_blocking_middleware
from fairway.views.requests import WebSocketRequest

OWN = "websocket.send.A!1"
GONE, FULL = ChannelGone(OWN), ChannelFull(OWN)

ERRORS = {
    "gone": GONE,
    "full": FULL,
    "all of a group gone": ExceptionGroup("", [GONE, ExceptionGroup("", [GONE])]),
    "a group with one full": ExceptionGroup("", [GONE, FULL]),
    "value": ValueError("x"),
    "later": ResponseLater(),
    "another is gone": ChannelGone("x"),
    "another is full": ChannelFull("x"),
    "a group of others": ExceptionGroup("", [GONE, ChannelFull("x")]),
    "a group with a fault": ExceptionGroup("", [FULL, ExceptionGroup("", [ValueError("x")])]),
}

seen = []


def view(request):
    seen.append(current_request.get())
    raised = request.GET.get("raise")
    if raised:
        raise ERRORS[raised]


async def aview(request):
    return view(request)


def plain(request):
    return HttpResponse()


for one in (view, aview):
    one.accept_websocket = True

urlpatterns = [path("view/", view), path("aview/", aview), path("plain/", plain)]


class Moved:
    """Another URLconf."""

    urlpatterns = [path("view/", plain)]


def moves(get_response):
    def middleware(request):
        request.urlconf = Moved
        return get_response(request)

    return middleware


def handles(get_response):
    def middleware(request):
        return get_response(request)

    middleware.process_exception = lambda _request, _exception: HttpResponse("handled")
    return middleware


def breaks(get_response):
    def middleware(request):
        raise SystemError

    return middleware


@pytest.fixture(autouse=True)
def project(settings):
    seen.clear()
    settings.ROOT_URLCONF = "tests.views.test_handler"
    settings.MIDDLEWARE = []


def ask(where, phase=Phase.OPEN):
    path, _, query = where.partition("?")
    content = {"path": path, "query_string": query.encode(), "reply_channel": OWN}
    request = WebSocketRequest(Message(content, "websocket.connect", None))
    request.websocket = SimpleNamespace(_connection=SimpleNamespace(phase=phase, failure=None, reply_channel=OWN))
    return request


async def respond(request, kind):
    if kind == "async":
        return await ViewHandler(is_async=True).arespond(request)
    return ViewHandler(is_async=False).respond(request)


both = pytest.mark.parametrize(("kind", "where"), [("sync", "/view/"), ("async", "/aview/")])


@both
async def test_none_is_no_answer_and_the_request_is_current(kind, where):
    request = ask(where)
    assert type(await respond(request, kind)) is NoAnswer
    assert seen == [request]
    assert current_request.get() is None


@both
@pytest.mark.parametrize(
    ("error", "noted"),
    [("gone", GONE), ("full", FULL), ("all of a group gone", GONE), ("a group with one full", FULL)],
)
async def test_that_nobody_listens_is_no_error_of_the_view(kind, where, error, noted, caplog):
    request = ask(f"{where}?raise={error}")
    assert (await respond(request, kind)).status_code == 200
    assert request.websocket._connection.failure is noted
    assert caplog.records == []


@both
@pytest.mark.parametrize(
    "error",
    ["value", "later", "another is gone", "another is full", "a group of others", "a group with a fault"],
)
async def test_what_a_view_raises_is_noted_and_an_error(kind, where, error, caplog):
    request = ask(f"{where}?raise={error}")
    assert (await respond(request, kind)).status_code == 500
    assert request.websocket._connection.failure is ERRORS[error]
    assert "Internal Server Error: /" in caplog.text


@both
@pytest.mark.parametrize("query", ["", "?raise=gone", "?raise=value"])
async def test_no_cache_keeps_what_a_socket_was_answered(kind, where, query, settings):
    settings.MIDDLEWARE = ["tests.views.test_handler.handles"]
    response = await respond(ask(f"{where}{query}"), kind)
    assert (response.status_code, response["Vary"]) == (200, "Upgrade")
    assert "no-store" in response["Cache-Control"]


async def test_before_the_handshake_is_decided_nothing_can_be_gone():
    assert (await respond(ask("/view/?raise=full", Phase.HANDSHAKE), "sync")).status_code == 500


@both
async def test_a_view_of_another_urlconf_that_takes_none(kind, where, settings):
    settings.MIDDLEWARE = ["tests.views.test_handler.moves"]
    assert (await respond(ask("/view/"), kind)).status_code == 400


@both
async def test_no_transaction_is_open_for_as_long_as_a_socket(kind, where, monkeypatch):
    from django.db import connection

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert type(await respond(ask(where), kind)) is NoAnswer


def test_a_view_that_takes_none():
    with pytest.raises(BadRequest):
        ViewHandler(is_async=False).resolve_request(ask("/plain/"))


@both
async def test_signals_and_calls_when_it_is_answered(kind, where):
    heard = []
    request = ask(where)
    call_when_answered(request, lambda: heard.append("answered"))

    def note(signal, sender, **kwargs):
        heard.append((signal is request_started, sender))

    for signal in (request_started, request_finished):
        signal.connect(note)
    try:
        (await respond(request, kind)).close()
    finally:
        for signal in (request_started, request_finished):
            signal.disconnect(note)
    assert heard == [(True, ViewHandler), "answered", (False, ViewHandler)]


async def test_when_even_the_error_handlers_fail(monkeypatch, caplog):
    async def fail(self, request):
        raise ValueError("boom")

    monkeypatch.setattr(ViewHandler, "get_response_async", fail)
    response = await respond(ask("/aview/"), "async")
    assert (response.status_code, response.content) == (500, b"Internal Server Error")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_the_first_middleware_that_only_blocking_code_can_run(settings):
    assert first_blocking_middleware() == ""
    settings.MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "tests.views.test_handler.moves"]
    assert first_blocking_middleware() == "tests.views.test_handler.moves"
