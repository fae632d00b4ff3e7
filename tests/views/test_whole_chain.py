"""Views that own a WebSocket, through the whole chain: a client's socket, the interface server, the layer, a worker."""

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fairway.limits import ViewLimits
from tests.support.waiting import wait_until
from tests.views import pages


def closed(client):
    with pytest.raises(ConnectionClosed) as error:
        client.recv(30)
    return error.value.rcvd.code if error.value.rcvd else None


def refused(at, where):
    with pytest.raises(InvalidStatus) as error:
        at(where)
    return error.value.response


def test_echo_once(at):
    with at("echo_once/") as client:
        client.send("hi")
        assert client.recv(30) == "hi"
        assert closed(client) == 1000


@pytest.mark.parametrize("where", ["lower_case/", "alower_case/"])
def test_lower_case(at, where):
    with at(where) as client:
        for text in ("Hello", "WORLD", "Ä" * 10_000):
            client.send(text)
            assert client.recv(30) == text.lower()


def test_messages_wait_for_the_view(at):
    with at("ready/") as client:
        assert client.recv(30) == "ready"
        client.send("one ")
        client.send("two ")
        wait_until(lambda: any(c.count() == 2 for c in at.sockets._live))
        pages.released.set()
        assert client.recv(30) == "one two none"
        assert closed(client) == 1000
    assert pages.seen == [2]


def test_none_without_a_look_accepts_and_closes(at):
    with at("nothing/") as client:
        assert closed(client) == 1000


def test_an_answer_before_a_look_reaches_the_client(at):
    head = at.raw_handshake("moved/")
    assert head.startswith(b"HTTP/1.1 302 ")
    assert b"Location: /elsewhere/\r\n" in head


@pytest.mark.parametrize(
    ("where", "status"), [("fails-before/", 500), ("plain/", 400), ("nowhere/", 404), ("refuses/", 403)]
)
def test_what_is_refused(at, where, status):
    assert refused(at, where).status_code == status


def test_a_view_that_raises_closes_with_1011(at, caplog):
    with at("fails/") as client:
        assert closed(client) == 1011
    assert "ValueError: boom" in caplog.text


def test_a_view_that_closes(at):
    with at("closes/") as client:
        assert client.recv(30) == "bye"
        assert closed(client) == 4001
    wait_until(lambda: pages.seen)
    assert pages.seen == [(True, None)]


def test_class_based_views_see_user_query_and_scheme(at):
    with at("shout/hey/?q=1") as client:
        assert client.recv(30) == "HEY ANONYMOUSUSER 1 HTTP"
    with at("ashout/hey/") as client:
        assert client.recv(30) == "HEY ANONYMOUSUSER"


def test_groups(at):
    with at("joins/") as one, at("joins/") as two:
        assert [one.recv(30), two.recv(30)] == ["joined", "joined"]
        one.send("x")
        assert [one.recv(30), two.recv(30)] == ["to all", "to all"]


def test_what_a_view_raises_for_the_client_closes_with_1008(at):
    with at("forbidden/") as client:
        assert client.recv(30) == "so far"
        assert closed(client) == 1008


def test_other_responses_before_a_look(at, caplog):
    response = refused(at, "streams/")
    assert (response.status_code, response.body) == (418, b"ab")
    assert refused(at, "too-long/").status_code == 500
    assert "longer than 1048576 bytes" in caplog.text


def test_where_sockets_in_views_are_not_used_all_is_as_it_was(at, monkeypatch):
    monkeypatch.setattr("fairway.views.decorators._decorated", set())
    assert refused(at, "plain/").status_code == 404


class TestBlockingMiddleware:
    """A middleware that only blocking code can run."""

    @pytest.fixture
    def middleware(self, settings):
        """The middleware of the project."""
        return [*settings.MIDDLEWARE, "tests.views.pages.blocking_middleware"]

    @pytest.fixture
    def view_limits(self):
        """Room for one."""
        return ViewLimits(threads=1)

    def test_coroutine_views_take_a_thread_each(self, at, caplog):
        with at("alower_case/") as client:
            client.send("A")
            assert client.recv(30) == "a"
            assert refused(at, "alower_case/").status_code == 503
        assert "the middleware tests.views.pages.blocking_middleware is not async_capable" in caplog.text


def test_a_subprotocol_numbers_and_bytes(at):
    with at("protocol/", subprotocols=["a", "b"]) as client:
        assert (client.subprotocol, client.recv(30)) == ("a", "24")
        client.send(b"\x00\xff")
        assert client.recv(30) == b"\x00\xff"


@pytest.mark.parametrize("where", ["notes-end/", "anotes-end/"])
def test_a_worker_that_stops_tells_its_views_and_closes_with_1012(at, where):
    with at(where) as client:
        assert client.recv(30) == "open"
        at.worker.pause()
        assert closed(client) == 1012
        assert at.worker.wait_finished(5)
    assert pages.seen == [(None, True)]


@pytest.mark.parametrize("where", ["notes-end/", "anotes-end/"])
def test_a_view_hears_that_its_client_left(at, where):
    with at(where) as client:
        assert client.recv(30) == "open"
    wait_until(lambda: pages.seen)
    assert pages.seen == [(None, True)]
    wait_until(lambda: not at.sockets.running())
    assert at.sockets._pinned.connections() == []


def test_a_view_gets_its_messages_though_a_frame_from_elsewhere_has_accepted(at):
    with at("accepted-from-elsewhere/") as client:
        assert client.recv(30) == "from elsewhere"
        client.send("before its first look")
        pages.released.set()
        assert client.recv(30) == "before its first look"
        client.send("after")
        assert client.recv(30) == "after"
    wait_until(lambda: not at.sockets.running())
