"""The request of a view that owns a socket."""

import pytest
from django.test import RequestFactory

from fairway.message import Message
from fairway.views.requests import WebSocketRequest, asks_for_websocket, prepare


def connect(**content):
    defaults = {"reply_channel": "websocket.send.A!1", "path": "/a/ä", "order": 0, "query_string": b"q=1"}
    return Message({**defaults, **content}, "websocket.connect", None)


def test_a_handshake_is_a_get_with_its_headers():
    headers = [(b"host", b"example.org"), (b"cookie", b"a=b"), (b"origin", b"http://example.org")]
    request = WebSocketRequest(connect(headers=headers, client=["1.2.3.4", 5]))
    assert (request.method, request.path, request.GET["q"], request.COOKIES) == ("GET", "/a/ä", "1", {"a": "b"})
    assert (request.is_websocket(), request.META["REMOTE_ADDR"], request.body) == (True, "1.2.3.4", b"")
    assert request.headers["Origin"] == "http://example.org"


@pytest.mark.parametrize(("scheme", "is_secure"), [("ws", False), ("wss", True), (None, False)])
def test_wss_is_secure(scheme, is_secure):
    assert WebSocketRequest(connect(scheme=scheme)).is_secure() is is_secure


def test_the_message_is_left_as_it_is():
    message = connect(scheme="ws")
    WebSocketRequest(message)
    assert message["scheme"] == "ws"
    assert "method" not in message


def test_a_query_string_that_is_not_utf_8():
    with pytest.raises(UnicodeDecodeError):
        WebSocketRequest(connect(query_string=b"\xff"))


def test_a_plain_request_says_so():
    request = RequestFactory().get("/")
    prepare(request)
    assert (request.is_websocket(), request.websocket) == (False, None)


@pytest.mark.parametrize(
    ("connection", "upgrade", "asks"),
    [
        ("Upgrade", "WebSocket", True),
        ("keep-alive, upgrade", "websocket", True),
        ("keep-alive", "websocket", False),
        ("Upgrade", "h2c", False),
        ("", "", False),
    ],
)
def test_who_asks_for_a_websocket(connection, upgrade, asks):
    request = RequestFactory().get("/", HTTP_CONNECTION=connection, HTTP_UPGRADE=upgrade)
    assert asks_for_websocket(request) is asks
