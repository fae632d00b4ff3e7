"""One view and its socket, run by hand: how it ends. With clients it is in test_whole_chain and test_ends."""

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from fairway.errors import ChannelFull
from fairway.limits import ViewLimits
from fairway.message import Message
from fairway.views.connection import Connection
from fairway.views.decorators import NoAnswer
from fairway.views.pinned import Pinned
from fairway.views.requests import WebSocketRequest
from fairway.views.runner import FAILED, ViewRun
from fairway.views.websocket import WebSocket
from tests.support.waiting import await_until
from tests.views.quay import SOCKETS


class Handler:
    """Django, as far as it matters here."""

    def __init__(self, view):
        self.view = view

    def respond(self, request):
        return self.view(request)

    async def arespond(self, request):
        return self.view(request)


@pytest.fixture
def pinned(quay):
    pinned = Pinned(quay.layer, ViewLimits())
    yield pinned
    pinned.close()


@pytest.fixture
def run(quay, pinned):
    connection = Connection(quay.connect(), pinned.new_channel())
    message = Message({"path": "/", "reply_channel": connection.reply_channel}, "websocket.connect", quay.layer)
    return ViewRun(WebSocketRequest(message), connection, pinned, ViewLimits(answer=10, end=0.05))


@pytest.fixture(params=["sync", "async"])
def end(request, quay, run):
    """Run a view to its end; return what its client was sent."""

    async def end(view):
        if request.param == "sync":
            run.run(Handler(view), WebSocket)
        else:
            await run.arun(Handler(view))
        return quay.frames()

    return end


def opens(response=None, failure=None, **how):
    """Return a view that looks at its socket."""

    def view(request):
        connection = request.websocket._connection
        connection.outbox.reader.commit(connection.outbox.delivery, connection.accept())
        connection.failure = failure
        if how.get("stopped"):
            connection.stop()
        if how.get("closed"):
            connection.end()
        return response or NoAnswer()

    return view


async def test_a_response_refuses_the_handshake(end, quay):
    answer = {"status": 404, "content": b"no", "headers": [[b"Content-Type", b"text/plain"]]}
    assert await end(lambda _request: HttpResponse("no", status=404, content_type="text/plain")) == [{"reject": answer}]
    assert quay.dones() == [0]


async def test_none_accepts_and_closes(end, run):
    (frames,) = [await end(lambda _request: NoAnswer())]
    assert frames == [{"accept": True, "receive_channel": run.connection.channel}, {"close": 1000}]


async def test_a_stream_is_read_to_its_end(end):
    frames = await end(lambda _request: StreamingHttpResponse(iter([b"a", b"b"])))
    assert frames[0]["reject"]["content"] == b"ab"


async def test_a_stream_that_breaks_is_an_error(end, quay, caplog):
    def parts():
        yield b"a"
        raise ValueError("broken")

    assert await end(lambda _request: StreamingHttpResponse(parts())) == [{"reject": FAILED}]
    assert quay.dones() == [0]
    assert "the response of / to a WebSocket broke" in caplog.text


async def test_a_response_that_cannot_travel_is_an_error(end, quay, caplog):
    long = "x" * (quay.layer.message_limits.body + 1)
    assert await end(lambda _request: HttpResponse(headers={"x-long": long})) == [{"reject": FAILED}]
    assert quay.dones() == [0]
    assert "the response of / to a WebSocket cannot travel" in caplog.text


@pytest.mark.parametrize("response", [HttpResponse(b"x" * 11), StreamingHttpResponse(iter([b"x" * 6] * 2))])
async def test_a_long_response_is_an_error(quay, run, response, caplog):
    run.run(Handler(lambda _request: response), WebSocket)
    assert quay.frames() == [{"reject": {"status": 500, "content": b"Internal Server Error\n"}}]
    assert "the response of / to a WebSocket is longer than 10 bytes" in caplog.text


@pytest.mark.parametrize(
    ("view", "code"),
    [
        (opens(), 1000),
        (opens(HttpResponse("never seen")), 1000),
        (opens(HttpResponse(status=500), ValueError()), 1011),
        (opens(HttpResponse(status=403), ValueError()), 1008),
        (opens(HttpResponse("mended by a middleware"), ValueError()), 1000),
        (opens(HttpResponse(), ChannelFull(f"{SOCKETS}c1")), 1013),
        (opens(HttpResponse(status=500), ChannelFull("another")), 1011),
        (opens(stopped=True), 1012),
        (opens(closed=True), None),
    ],
)
async def test_close_codes(end, view, code):
    frames = await end(view)
    assert frames[1:] == ([{"close": code}] if code else [])


async def test_what_is_unread_is_done(end, quay, run):
    def view(request):
        opens()(request)
        request.websocket._pinned.add(run.connection)
        quay.submit(run.connection.channel, 1, {"text": "unread"})
        while not run.connection.count():
            pass
        return NoAnswer()

    await end(view)
    assert quay.dones() == [0, 1]


async def test_nothing_is_brought_to_a_view_that_has_ended(end, pinned, quay, run):
    await end(opens())
    assert pinned.connections() == []
    quay.submit(run.connection.channel, 1, {"text": "late"})
    await await_until(lambda: quay.dones() == [0, 1])


async def test_a_connect_that_another_worker_has_by_now_leaves_nothing(end, pinned, quay, caplog):
    quay.reader.close()
    assert await end(lambda _request: NoAnswer()) == []
    assert pinned.connections() == []


async def test_an_end_that_cannot_be_told_is_logged(end, quay, run, caplog):
    def view(request):
        opens()(request)
        quay.inbox.congest(run.connection.reply_channel)
        return NoAnswer()

    await end(view)
    assert "the end of the view of / could not be told to its client" in caplog.text


async def test_what_runs_it_fails(quay, run):
    run.fail()
    run.fail()
    assert quay.frames() == [{"reject": {"status": 500, "content": b"Internal Server Error\n"}}]


async def test_what_runs_it_fails_when_the_socket_is_open(end, quay, run):
    def view(request):
        opens()(request)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await end(view)
    run.fail()
    assert quay.frames()[1:] == [{"close": 1011}]


async def test_the_response_is_closed(end):
    closed = []
    response = HttpResponse()
    response.close = lambda: closed.append(True)
    await end(lambda _request: response)
    assert closed == [True]
