"""What workers send, decoded: every message of the standard, and nothing of another shape."""

import msgspec
import pytest

from fairway.layers.codec import encode_message
from fairway.server.replies import Rejection, decode_group_reply, decode_http_reply, decode_socket_reply


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (False, 0), (None, 0), (0, 0), (4001, 4001)])
def test_close_codes(close, code):
    assert decode_socket_reply(encode_message({"close": close})).close_code == code


def test_all_of_a_socket_reply():
    reply = decode_socket_reply(
        encode_message(
            {
                "accept": True,
                "subprotocol": "a",
                "headers": [(b"x", b"y")],
                "receive_channel": "view!1",
                "text": None,
                "bytes": b"b",
                "reject": {"status": 302, "headers": [[b"location", b"/"]], "content": b"c"},
                "reason": "r",
            }
        )
    )
    assert (reply.accept, reply.subprotocol, reply.headers) == (True, "a", [(b"x", b"y")])
    assert (reply.receive_channel, reply.text, reply.data, reply.reason) == ("view!1", None, b"b", "r")
    assert reply.reject == Rejection(302, [(b"location", b"/")], b"c")


def test_a_rejection_is_403_unless_it_says_otherwise():
    assert decode_socket_reply(encode_message({"reject": {}})).reject == Rejection(403, [], b"")


def test_all_of_an_http_reply():
    message = {"status": 200, "headers": [], "content": b"", "more_content": True, "status_text": b"OK"}
    reply = decode_http_reply(encode_message(message))
    assert (reply.status, reply.content, reply.more_content, reply.status_text) == (200, b"", True, b"OK")


def test_a_group_reply_reads_both_parts():
    reply = decode_group_reply(encode_message({"text": "a", "content": b"b", "more_content": False, "unknown": 1}))
    assert (reply.text, reply.content, reply.more_content) == ("a", b"b", False)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (decode_socket_reply, {"text": b"bytes"}),
        (decode_socket_reply, {"bytes": "text"}),
        (decode_socket_reply, {"headers": [["str", "str"]]}),
        (decode_socket_reply, {"headers": [[b"one"]]}),
        (decode_socket_reply, {"reject": 403}),
        (decode_http_reply, {"status": "200"}),
        (decode_http_reply, {"content": "text"}),
        (decode_group_reply, {"close": "1000"}),
    ],
)
def test_another_shape_is_an_error(decode, message):
    with pytest.raises(msgspec.DecodeError):
        decode(encode_message(message))
