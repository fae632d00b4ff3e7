"""The messages of a server, as a worker decodes them."""

import pytest
from msgspec.msgpack import encode as pack

from fairway.layers.codec import decode_message
from fairway.server.gate import Kind
from fairway.server.outgoing import BodyChunk, Incoming, Scope, encode, encode_socket

COMMON = {"reply_channel": "websocket.send.A!1", "path": "/ws/", "order": 3}


@pytest.mark.parametrize(
    ("kind", "payload", "told"),
    [
        (Kind.TEXT, "hello", {"text": "hello"}),
        (Kind.TEXT, "", {"text": ""}),
        (Kind.BYTES, b"\x00\xff", {"bytes": b"\x00\xff"}),
        (Kind.EVENT, pack({"type": "chat.message", "n": 1}), {"event": {"type": "chat.message", "n": 1}}),
        (Kind.DISCONNECT, 1006, {"code": 1006}),
    ],
)
def test_a_message_of_a_socket_holds_what_it_is(kind, payload, told):
    body = encode_socket(Incoming("websocket.send.A!1", "/ws/", 3), kind, payload)
    assert decode_message(body) == {**COMMON, **told}


def test_what_has_its_default_is_left_out():
    scope = Scope("http.response.A!1", "/", b"", [(b"host", b"a")], "http", "1.1", method="GET")
    assert decode_message(encode(scope)) == {
        "reply_channel": "http.response.A!1",
        "path": "/",
        "query_string": b"",
        "headers": [[b"host", b"a"]],
        "scheme": "http",
        "http_version": "1.1",
        "method": "GET",
    }
    assert decode_message(encode(BodyChunk(closed=True))) == {"closed": True}
