"""What may be sent: each key of the standard, and the error for everything else."""

import pytest

from fairway.errors import InvalidMessage
from fairway.messages import (
    Protocol,
    check_group_message,
    check_reply,
    is_close_code,
    is_header_name,
    is_header_value,
    protocol_of,
)

WEBSOCKET_REPLIES = [
    {},
    {"accept": True},
    {"accept": False},
    {"accept": True, "subprotocol": "chat.v2", "headers": [[b"x-a", b"1"], (b"set-cookie", b"a=b\tc")]},
    {"accept": True, "receive_channel": "view.A!1"},
    {"reject": {"status": 404}},
    {"reject": {"status": 302, "headers": [[b"location", b"/"]], "content": b"away"}},
    {"close": True},
    {"close": False},
    {"close": 4000, "reason": "ä" * 61},
    {"text": "hi"},
    {"text": ""},
    {"bytes": b"\x00"},
    {"text": "hi", "bytes": None, "close": None, "accept": None, "reject": None},
]
HTTP_REPLIES = [
    {},
    {"status": 200, "headers": [[b"Content-Type", b"text/html"]], "content": b"", "more_content": True},
    {"status": 200, "status_text": b"OK", "headers": ()},
    {"content": b"more", "more_content": False},
    {"request": {"method": "GET", "path": "/pushed"}},
]
WRONG_WEBSOCKET_REPLIES = [
    ("txt", {"txt": "hi"}, "unknown key 'txt'; it may hold accept, subprotocol"),
    ("status", {"status": 200}, "unknown key 'status'"),
    ("type", {"type": "chat.message"}, "unknown key 'type'"),
    ("text", {"text": b"hi"}, "must be str or None, not bytes"),
    ("bytes", {"bytes": "hi"}, "must be bytes or None, not str"),
    ("bytes", {"text": "hi", "bytes": b"hi"}, "one or the other"),
    ("accept", {"accept": 1}, "must be bool or None, not int"),
    ("close", {"close": 999}, "not 999"),
    ("close", {"close": 1005}, "1000-1003, 1007-1014, 3000-4999"),
    ("close", {"close": 0}, "not 0"),
    ("close", {"close": "1000"}, "not str"),
    ("reason", {"close": True, "reason": "ä" * 62}, "123 bytes in UTF-8, not 124"),
    ("subprotocol", {"accept": True, "subprotocol": "a b"}, "token"),
    ("subprotocol", {"accept": True, "subprotocol": "ä"}, "token"),
    ("headers", {"accept": True, "headers": {"a": "b"}}, "list or tuple or None, not dict"),
    ("headers", {"accept": True, "headers": [["a", "b"]]}, r"pairs of bytes; entry 0 is \['a', 'b'\]"),
    ("headers", {"accept": True, "headers": [[b"a", b"b", b"c"]]}, "pairs of bytes"),
    ("headers", {"accept": True, "headers": [b"ab"]}, "pairs of bytes"),
    ("headers", {"accept": True, "headers": [[b"a", b"1"], [b"a b", b""]]}, "no token, in entry 1"),
    ("headers", {"accept": True, "headers": [[b"a", b"x\r\nset-cookie: evil"]]}, "control characters"),
    ("reject", {"reject": True}, "must be dict or None, not bool"),
    ("reject", {"reject": {}}, "must hold a 'status'"),
    ("reject", {"reject": {"status": 101}}, "holds a 'status' that must be a final HTTP status"),
    ("reject", {"reject": {"status": True}}, "holds a 'status' that must be int, not bool"),
    ("reject", {"reject": {"status": 404, "body": b""}}, "unknown key 'body'; it may hold status, headers, content"),
    ("1", {1: "text"}, "unknown key 1"),
]
WRONG_HTTP_REPLIES = [
    ("text", {"text": "hi"}, "a reply to an HTTP request holds the unknown key 'text'"),
    ("status", {"status": "200"}, "must be int or None, not str"),
    ("status", {"status": True}, "not bool"),
    ("status", {"status": 100}, "200 to 599, not 100"),
    ("content", {"status": 200, "content": "hi"}, "must be bytes or None, not str"),
    ("more_content", {"more_content": 1}, "must be bool or None, not int"),
    ("status_text", {"status": 200, "status_text": b"OK\r\n"}, "one line"),
    ("headers", {"status": 200, "headers": [[b"a", b"\x00"]]}, "control characters"),
]


@pytest.mark.parametrize("message", WEBSOCKET_REPLIES)
def test_replies_to_a_websocket(message):
    check_reply(message, Protocol.WEBSOCKET)


@pytest.mark.parametrize("message", HTTP_REPLIES)
def test_replies_to_a_request(message):
    check_reply(message, Protocol.HTTP)


@pytest.mark.parametrize(("key", "message", "text"), WRONG_WEBSOCKET_REPLIES)
def test_wrong_replies_to_a_websocket(key, message, text):
    with pytest.raises(InvalidMessage, match=text) as caught:
        check_reply(message, Protocol.WEBSOCKET)
    assert caught.value.key == key
    assert key in str(caught.value)


@pytest.mark.parametrize(("key", "message", "text"), WRONG_HTTP_REPLIES)
def test_wrong_replies_to_a_request(key, message, text):
    with pytest.raises(InvalidMessage, match=text) as caught:
        check_reply(message, Protocol.HTTP)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "message",
    [
        {"text": "hi"},
        {"bytes": b"hi", "close": 1000, "reason": "done"},
        {"close": True},
        {"content": b"chunk", "more_content": True},
        {"type": "chat.message", "anything": [1, None], "text": 5},
        {"value": 42},  # for application channels
        {},
    ],
)
def test_group_messages(message):
    check_group_message(message)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("value", {"text": "hi", "value": 42}),
        ("accept", {"text": "hi", "accept": True}),
        ("text", {"text": 5}),
        ("close", {"close": 5}),
        ("bytes", {"text": "a", "bytes": b"b"}),
        ("type", {"type": "message"}),
        ("type", {"type": ".message"}),
        ("type", {"type": 5}),
        ("type", {"type": None}),
    ],
)
def test_wrong_group_messages(key, message):
    with pytest.raises(InvalidMessage) as caught:
        check_group_message(message)
    assert caught.value.key == key


def test_a_subclass_of_a_kind_is_of_that_kind():
    class Text(str):
        __slots__ = ()

    class Pairs(list):
        pass

    check_reply({"text": Text("hi"), "headers": Pairs()}, Protocol.WEBSOCKET)


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("websocket.connect", Protocol.WEBSOCKET),
        ("websocket.send.A!1", Protocol.WEBSOCKET),
        ("http.request", Protocol.HTTP),
        ("http.response.A!1", Protocol.HTTP),
        ("work", None),
        ("httpx", None),
        ("", None),
        (None, None),
    ],
)
def test_the_protocol_of_a_channel(name, protocol):
    assert protocol_of(name) is protocol


def test_close_codes():
    allowed = {code for code in range(-1, 6000) if is_close_code(code)}

    assert allowed == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_header_names_and_values():
    assert is_header_name(b"x-a_b.c")
    assert not any(map(is_header_name, [b"", b"a b", b"a:", b"\xe4", b"a\n"]))
    assert is_header_value(b"")
    assert is_header_value("ä\t".encode())
    assert not any(map(is_header_value, [b"\x00", b"\r", b"\n", b"\x7f", b"a\x1f"]))
