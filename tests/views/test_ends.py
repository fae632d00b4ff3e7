"""How a view's socket ends, whoever ends it: nothing is left behind, and each side hears of it."""

import asyncio
import socket
import sys

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.urls import path
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fairway.limits import ServerLimits, ViewLimits, WebSocketLimits
from fairway.views import require_websocket
from tests.support.waiting import wait_until
from tests.views import pages


@require_websocket
def exits(request):
    """Ends by what is no Exception."""
    if "early" not in request.GET:
        request.websocket.send("ready")
    sys.exit()


@require_websocket
async def aexits(request):
    if "early" not in request.GET:
        await request.websocket.send("ready")
    sys.exit()


@require_websocket
async def cancels(request):
    """Awaits a task of its own that it has cancelled."""
    if "early" not in request.GET:
        await request.websocket.send("ready")
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


urlpatterns = [
    path("exits/", exits),
    path("aexits/", aexits),
    path("cancels/", cancels),
    *i18n_patterns(path("tongue/", exits)),
]


def closed(client):
    """Read to the end; return the close code."""
    with pytest.raises(ConnectionClosed) as error:
        list(iter(lambda: client.recv(10), None))
    return error.value.rcvd.code if error.value.rcvd else None


def nothing_is_left(at):
    wait_until(lambda: not at.sockets.running(), "the views to end")
    wait_until(lambda: not at.sockets._pinned.connections(), "the sockets to be forgotten")
    wait_until(lambda: not at.streams, "the server to forget them")
    assert not at.sockets._live
    return True


@pytest.mark.parametrize("where", ["vanishes/", "avanishes/"])
def test_a_client_that_left_in_the_handshake_is_told_to_its_view(at, where):
    raw = at.begin_handshake(where)
    wait_until(lambda: pages.seen == ["begun"])
    raw.close()
    wait_until(lambda: not at.has_clients(), "the server to notice")
    pages.released.set()
    assert nothing_is_left(at)
    assert pages.seen == ["begun", None]


@pytest.mark.parametrize("where", ["pushes/", "apushes/"])
@pytest.mark.parametrize("how", ["close", "vanish"])
def test_a_view_that_never_reads_ends_with_its_client(at, where, how, caplog):
    with at(where, close_timeout=0.3) as client:  # its close frame is not read either
        assert client.recv(30) == "tick"
        for _ in range(60):  # more than the window, so that the end finds it full
            client.send("unread")
        wait_until(lambda: any(one.count() == 32 for one in at.sockets._live), "the window to be full")
        if how == "vanish":
            client.socket.shutdown(socket.SHUT_RDWR)
    assert nothing_is_left(at)
    assert "Error" not in caplog.text


@pytest.mark.parametrize("where", ["pushes/", "apushes/"])
def test_a_view_that_never_reads_is_cut_off_when_its_worker_has_stopped(at, where):
    with at(where) as client:
        assert client.recv(30) == "tick"
        assert not at.worker.stop(0.1)
        assert closed(client) == 1012
    wait_until(lambda: at.worker.has_ended, "the view to end")


class TestOddEnds:
    """Of views that are ended by no `Exception`."""

    @pytest.fixture(autouse=True)
    def _urls(self, at, settings):
        settings.ROOT_URLCONF = "tests.views.test_ends"
        settings.LANGUAGES = [("en", "English"), ("de", "German")]

    @pytest.mark.parametrize("where", ["exits/", "aexits/", "cancels/"])
    def test_the_socket_is_closed_and_others_are_served(self, at, where, caplog):
        for _ in range(2):
            with at(where) as client:
                assert client.recv(30) == "ready"
                assert closed(client) == 1011
        assert nothing_is_left(at)
        assert "a view with a WebSocket failed" in caplog.text

    @pytest.mark.parametrize("where", ["exits/", "aexits/", "cancels/"])
    def test_the_handshake_is_answered(self, at, where):
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                at(f"{where}?early")
            assert refused.value.response.status_code == 500
        assert nothing_is_left(at)

    @pytest.mark.parametrize("language", ["en", "de"])
    @pytest.mark.parametrize("middleware", [["django.middleware.locale.LocaleMiddleware"]])
    def test_a_view_is_found_in_the_language_of_its_path(self, at, language):
        with at(f"{language}/tongue/") as client:
            assert client.recv(30) == "ready"


@pytest.mark.parametrize("where", ["loops/", "aloops/"])
def test_a_loop_that_does_not_look_at_the_end_is_ended(at, where, caplog):
    with at(where) as client:
        client.send("hello")
    assert nothing_is_left(at)
    assert "wait() was called 1000 times after the socket had closed" in caplog.text


@pytest.mark.parametrize("where", ["stubborn/", "astubborn/"])
def test_a_view_that_never_returns_does_not_hold_up_a_stop(at, where):
    with at(where) as client:
        assert client.recv(30) == "ready"
        assert not at.worker.stop(0.1)
        assert closed(client) == 1012
        pages.released.set()
    wait_until(lambda: at.worker.has_ended, "the view to end")


class TestClientsThatDoNotRead:
    """They cost a view some seconds."""

    @pytest.fixture
    def server_limits(self):
        """Few of them."""
        return ServerLimits(drain=0, websocket=WebSocketLimits(stall=0.3, close_timeout=0.2))

    @pytest.mark.parametrize("where", ["floods/", "afloods/"])
    def test_the_server_closes(self, at, where):
        with at.silent_client(where):
            wait_until(lambda: pages.seen == ["ended"], "the view to end")
            assert nothing_is_left(at)

    class TestViewsThatWaitForLess:
        """A view's patience ends before the server's."""

        @pytest.fixture
        def server_limits(self):
            """Of the server: more of it."""
            return ServerLimits(drain=0, websocket=WebSocketLimits(stall=1, close_timeout=0.2))

        @pytest.fixture
        def view_limits(self):
            """Of the view: little."""
            return ViewLimits(send=0.2)

        @pytest.mark.parametrize("where", ["floods/", "afloods/"])
        def test_the_view_ends(self, at, where, caplog):
            with at.silent_client(where):
                wait_until(lambda: pages.seen == ["ended"], "the view to end")
                assert nothing_is_left(at)
            assert "Traceback" not in caplog.text


class TestHalfOpenConnections:
    """The client is gone, and nothing of TCP tells it."""

    @pytest.fixture
    def server_limits(self):
        """A server that soon asks."""
        return ServerLimits(drain=0, websocket=WebSocketLimits(ping_interval=0.1, ping_timeout=0.1))

    @pytest.mark.parametrize("where", ["notes-end/", "anotes-end/"])
    def test_the_view_is_told(self, at, where):
        raw = at.begin_handshake(where)  # it never answers a ping
        wait_until(lambda: pages.seen == [(None, True)], "the view to be told")
        assert nothing_is_left(at)
        raw.close()


class TestFull:
    """There is no room for one more view."""

    @pytest.fixture
    def view_limits(self):
        """Room for one of each kind."""
        return ViewLimits(threads=1, coroutines=1)

    @pytest.mark.parametrize("where", ["lower_case/", "alower_case/"])
    def test_one_more_is_answered_with_503_until_there_is_room(self, at, where):
        with at(where) as client:
            client.send("A")
            assert client.recv(30) == "a"
            head = at.raw_handshake(where)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in head.lower()
        assert nothing_is_left(at)
        with at(where) as client:
            client.send("B")
            assert client.recv(30) == "b"


class TestALostHub:
    """It comes back with nothing in its memory."""

    @pytest.fixture
    def layer_setting(self, hub):
        """The hub that goes and comes."""
        return {"URL": f"local://{hub.path}"}

    def test_each_socket_ends_and_nothing_is_left(self, at, hub):
        with at("notes-end/") as client, at("anotes-end/") as other:
            assert [client.recv(30), other.recv(30)] == ["open", "open"]
            hub.stop()
            hub.start()
            for one in (client, other):
                one.socket.shutdown(socket.SHUT_RDWR)
            assert nothing_is_left(at)
