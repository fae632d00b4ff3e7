"""The client for views that own a WebSocket."""

import asyncio

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from fairway.errors import ChannelGone
from fairway.testing import ChannelTestCase, ViewClient
from fairway.views import accept_websocket, require_websocket


@require_websocket
def echo(request):
    for message in request.websocket:
        request.websocket.send(message)


@require_websocket
async def aecho(request):
    async for message in request.websocket:
        await request.websocket.send(message)


@require_websocket
def once(request):
    request.websocket.send(request.websocket.wait())


@accept_websocket
def who(request):
    request.websocket.accept(request.websocket.subprotocols[0])
    request.websocket.send(f"{request.user} {request.GET['q']}")


@require_websocket
def saves(request):
    for name in request.websocket:
        Group.objects.create(name=name)
        request.websocket.send(str(Group.objects.count()))


@require_websocket
async def asaves(request):
    async for name in request.websocket:
        await Group.objects.acreate(name=name)
        await request.websocket.send(str(await Group.objects.acount()))


@require_websocket
def pushes(request):
    while True:
        request.websocket.send("tick")


@require_websocket
async def apushes(request):
    async with asyncio.TaskGroup() as tasks:
        for message in ("tick", "tack"):
            tasks.create_task(apush(request.websocket, message))


async def apush(websocket, message):
    while True:
        await websocket.send(message)
        await asyncio.sleep(0)


@require_websocket
def misses_another(request):
    request.websocket.accept()
    raise ChannelGone("another")


@accept_websocket
def upgrade(request):
    request.websocket.send(request.headers.get("Upgrade"))


@require_websocket
def fails(request):
    request.websocket.send("so far")
    raise ValueError("boom")


@require_websocket
def fails_at_once(request):
    raise ValueError("boom")


@require_websocket
def closed_to_all(request):
    return HttpResponse("no", status=418)


@require_websocket
def undecided(request):
    import threading

    threading.Event().wait(0.3)


def plain(request):
    return HttpResponse("plain")


urlpatterns = [
    path("echo/", echo),
    path("aecho/", aecho),
    path("once/", once),
    path("who/", who),
    path("saves/", saves),
    path("asaves/", asaves),
    path("pushes/", pushes),
    path("apushes/", apushes),
    path("misses-another/", misses_another),
    path("upgrade/", upgrade),
    path("fails/", fails),
    path("fails-at-once/", fails_at_once),
    path("closed-to-all/", closed_to_all),
    path("undecided/", undecided),
    path("plain/", plain),
]


@override_settings(
    ROOT_URLCONF="tests.testing.test_views", CHANNEL_LAYERS={"default": {"URL": "memory://", "ROUTING": []}}
)
class ViewClientTests(ChannelTestCase):
    """In a transaction that is never committed."""

    def test_text_and_bytes_go_to_and_fro(self):
        for where in ("/echo/", "/aecho/"):
            with self.subTest(where), ViewClient().open(where) as socket:
                socket.send("hello")
                assert socket.receive() == "hello"
                socket.send(b"\x00")
                assert socket.receive() == b"\x00"

    def test_the_end_of_a_view(self):
        with ViewClient().open("/once/") as socket:
            assert (socket.status, socket.close_code) == (101, None)
            socket.send("hello")
            assert [socket.receive(), socket.receive(), socket.receive()] == ["hello", None, None]
            assert socket.close_code == 1000

    def test_the_end_of_a_client(self):
        with ViewClient().open("/echo/") as socket:
            socket.close(4000)
            assert socket.close_code == 4000
            with pytest.raises(AssertionError, match="the socket is closed"):
                socket.send("late")

    def test_user_query_and_subprotocol(self):
        client = ViewClient()
        client.force_login(get_user_model().objects.create_user("ann"))
        with client.open("/who/?q=1", subprotocols=["a", "b"]) as socket:
            assert socket.receive() == "ann 1"
            assert socket.subprotocol == "a"

    def test_view_and_test_share_a_database_connection(self):
        Group.objects.create(name="0")
        for number, where in enumerate(("/saves/", "/asaves/"), 2):
            with self.subTest(where), ViewClient().open(where) as socket:
                socket.send(where)
                assert socket.receive() == str(number)
                assert Group.objects.count() == number

    def test_what_a_view_raises_is_raised_here(self):
        with pytest.raises(ValueError, match="boom"):
            ViewClient().open("/fails-at-once/")
        with ViewClient().open("/fails/") as socket:
            assert socket.receive() == "so far"
            with pytest.raises(ValueError, match="boom"):
                socket.receive()
            assert socket.close_code == 1011
        with pytest.raises(ValueError, match="boom"), ViewClient().open("/fails/") as socket:
            socket.receive()

    def test_that_the_client_has_left_is_no_failure(self):
        for where in ("/pushes/", "/apushes/"):
            with self.subTest(where), ViewClient().open(where) as socket:
                assert socket.receive() == "tick"
        with ViewClient().open("/misses-another/") as socket, pytest.raises(ChannelGone, match="another"):
            socket.receive()

    def test_the_handshake_tells_what_caches_go_by(self):
        with ViewClient().open("/upgrade/") as socket:
            assert socket.receive() == "websocket"

    def test_an_http_response(self):
        with ViewClient().open("/closed-to-all/") as socket:
            assert (socket.status, socket.response["content"]) == (418, b"no")
        with ViewClient().open("/plain/") as socket:
            assert socket.status == 400

    def test_no_view(self):
        with pytest.raises(AssertionError, match="no view takes WebSockets at '/nowhere/'"):
            ViewClient().open("/nowhere/")

    def test_a_view_that_takes_too_long(self):
        with pytest.raises(AssertionError, match="has neither looked at its socket nor answered"):
            ViewClient(timeout=0.05).open("/undecided/")
        with ViewClient().open("/echo/") as socket:
            socket.timeout = 0.01
            with pytest.raises(AssertionError, match="the view has sent nothing"):
                socket.receive()
            socket.timeout = 5
