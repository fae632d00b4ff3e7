"""`fairway.wire.handshake`: the offers of a client, however odd, and an acceptance that promises what is done."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.uri import parse_uri

from fairway.errors import BadRequest, HeadersTooLarge, InvalidMessage
from fairway.wire.events import PeerFailed, RequestReceived
from fairway.wire.handshake import (
    MAX_SUBPROTOCOLS,
    DeflateOffer,
    Handshake,
    WrongVersion,
    accept,
    acceptance,
    choose_deflate,
    header,
    parse,
)
from fairway.wire.http1_response import error_response
from tests.wire import peers


def handshake(*lines, **changes):
    return parse(peers.parse(peers.upgrade(*lines, **changes))[0])


def deflate(value, window_bits=15):
    return choose_deflate([(b"sec-websocket-extensions", value)], window_bits)


# Parsing


def test_a_plain_handshake():
    assert handshake() == Handshake(subprotocols=[], deflate=None, key=b"dGhlIHNhbXBsZSBub25jZQ==")


def test_several_lines_of_a_header_are_one_list():
    headers = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert header(headers, b"a") == b"1,3"
    assert header(headers, b"c") is None


@pytest.mark.parametrize(
    "key", [None, "", "short==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ===", "\xe9" * 22 + "=="]
)
def test_malformed_keys(key):
    with pytest.raises(BadRequest) as caught:
        handshake(key=key)
    assert caught.value.status == 400


def test_two_keys():
    with pytest.raises(BadRequest):
        handshake("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.mark.parametrize("version", ["8", "12", "14", "013", "13.0", "", "abc", "13, 8", "1" * 1000])
def test_other_versions_are_told_the_right_one(version):
    with pytest.raises(WrongVersion) as caught:
        handshake(version=version)
    error = caught.value
    assert error.status == 426
    answer = error_response(error.status, error.reason, headers=error.headers)
    assert b"sec-websocket-version: 13\r\n" in answer
    assert b"upgrade: websocket\r\n" in answer


def test_no_version():
    with pytest.raises(BadRequest) as caught:
        handshake(version=None)
    assert caught.value.status == 400


def test_a_request_without_upgrade():
    with pytest.raises(BadRequest):
        parse(peers.parse(peers.request("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))[0])


def test_subprotocols_keep_their_order():
    lines = ["Sec-WebSocket-Protocol: chat.v2, chat.v1", "Sec-WebSocket-Protocol: ,constructor,, chat.v1,__proto__"]
    assert handshake(*lines).subprotocols == ["chat.v2", "chat.v1", "constructor", "__proto__"]


@pytest.mark.parametrize("value", ["a b", "a;b", "a/b", "a=b", '"a"', "caf\xe9", "\xff", "a, b c, d", "{}"])
def test_malformed_subprotocols(value):
    # CVE-2026-42544: a non-ASCII subprotocol ended a worker.
    with pytest.raises(BadRequest):
        handshake(f"Sec-WebSocket-Protocol: {value}")


def test_many_subprotocols():
    names = [f"p{number}" for number in range(MAX_SUBPROTOCOLS + 1)]
    assert handshake("Sec-WebSocket-Protocol: " + ",".join(names[1:])).subprotocols == names[1:]
    with pytest.raises(BadRequest):
        handshake("Sec-WebSocket-Protocol: " + ",".join(names))


@pytest.mark.parametrize(
    "value",
    [
        b" " * 60_000,
        b"," * 60_000,
        b"a" * 60_000,
        b"a," * 30_000,
        b"a " * 30_000,
        b'a;b="' + b"\\" * 60_000,
        b'a;b="' * 10_000,
        b"a;" * 30_000,
        b"a;b=" * 15_000,
    ],
)
def test_long_headers_take_linear_time(value):
    # CVE-2021-32640.
    started = time.process_time()
    for name in (b"sec-websocket-protocol", b"sec-websocket-extensions"):
        request = peers.parse(peers.upgrade(name + b": " + value))[0]
        assert isinstance(request, RequestReceived)
        with contextlib.suppress(BadRequest):
            parse(request)
    assert time.process_time() - started < 3


def test_a_handshake_with_too_many_headers():
    # CVE-2024-37890: the upgrade went on without its headers and crashed.
    (failed,) = peers.parse(peers.upgrade(*["A: b"] * 200))
    assert isinstance(failed.error, HeadersTooLarge)


# permessage-deflate


@pytest.mark.parametrize(
    ("value", "window_bits"),
    [
        (b"permessage-deflate", None),
        (b"permessage-deflate; client_max_window_bits", None),
        (b"permessage-deflate;client_max_window_bits=10", None),
        (b'permessage-deflate ; client_max_window_bits = "1\\0"', None),
        (b"permessage-deflate; server_no_context_takeover; client_no_context_takeover", None),
        (b"permessage-deflate; server_max_window_bits=15", 15),
        (b'permessage-deflate; server_max_window_bits="15"', 15),
        (b"x-webkit-deflate-frame, permessage-deflate", None),
        (b"permessage-deflate; server_max_window_bits=10, permessage-deflate", None),
        (b"constructor; __proto__=toString, , permessage-deflate", None),
        (b'other; a="permessage,;\\"deflate", permessage-deflate', None),
    ],
)
def test_offers_that_are_taken(value, window_bits):
    assert deflate(value) == DeflateOffer(window_bits)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b",",
        b"permessage-bzip2",
        b"PERMESSAGE_DEFLATE",
        b"permessage-deflate; server_max_window_bits=14",
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; server_max_window_bits=7",
        b"permessage-deflate; server_max_window_bits=015",
        b"permessage-deflate; server_max_window_bits=1" + b"5" * 5000,
        b"permessage-deflate; server_max_window_bits=x",
        b'permessage-deflate; server_max_window_bits=""',
        b'permessage-deflate; server_max_window_bits="\xe9"',
        b"permessage-deflate; client_max_window_bits=0",
        b"permessage-deflate; client_max_window_bits=constructor",
        b"permessage-deflate; server_no_context_takeover=1",
        b"permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        b"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
        b"permessage-deflate; unknown",
        b"permessage-deflate; __proto__=1",
    ],
)
def test_offers_that_are_declined(value):
    # CVE-2026-2229: an invalid window size ended the process.
    assert deflate(value) is None


@pytest.mark.parametrize(
    "value",
    [
        b";",
        b"=",
        b"a;",
        b"a;;b",
        b"a b",
        b"a;b=",
        b"a;b==c",
        b'a;b="',
        b'a;b="c',
        b'a;b="c\\"',
        b'a;b="c"d',
        b"a=b",
        b"a;=b",
        b"\xe9",
        b"a/b",
        b'"a"',
        b'a;"b"',
    ],
)
def test_malformed_extensions(value):
    with pytest.raises(BadRequest):
        deflate(value)
    with pytest.raises(BadRequest):
        deflate(b"permessage-deflate, " + value)


def test_a_smaller_window_of_the_server_is_named():
    assert deflate(b"permessage-deflate", 12) == DeflateOffer(12)
    assert deflate(b"permessage-deflate; server_max_window_bits=12", 12) == DeflateOffer(12)
    assert deflate(b"permessage-deflate; server_max_window_bits=11", 12) is None


# Acceptance


def test_the_example_of_the_rfc():
    # RFC 6455, 1.3.
    answer = accept(handshake(), subprotocol=None, compress=True)
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_a_chosen_subprotocol_and_headers():
    answer = accept(
        handshake("Sec-WebSocket-Protocol: a, b"), subprotocol="b", headers=[(b"Set-Cookie", b"c=d")], compress=False
    )
    assert answer.endswith(b"Sec-WebSocket-Protocol: b\r\nSet-Cookie: c=d\r\n\r\n")


@pytest.mark.parametrize("subprotocol", ["c", "A", "", "a, b", "a\r\nX: y", "\xe9"])
def test_a_subprotocol_that_was_not_offered(subprotocol):
    with pytest.raises(InvalidMessage) as caught:
        accept(handshake("Sec-WebSocket-Protocol: a, b"), subprotocol=subprotocol, compress=False)
    assert caught.value.key == "subprotocol"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X", b"a\r\nb"),
        (b"X", b"a\x00"),
        (b"X\r\nY", b"a"),
        (b"", b"a"),
        (b"Upgrade", b"websocket"),
        (b"CONNECTION", b"Upgrade"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"0"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"sec-websocket-protocol", b"a"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    ],
)
def test_headers_that_an_acceptance_may_not_carry(name, value):
    with pytest.raises(InvalidMessage) as caught:
        accept(handshake(), subprotocol=None, headers=[(name, value)], compress=False)
    assert caught.value.key == "headers"


def test_compression_needs_both_sides():
    offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15"
    value = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
    assert acceptance(handshake(offer), None, [], compress=True) == [(b"Sec-WebSocket-Extensions", value)]
    assert acceptance(handshake(offer), None, [], compress=False) == []
    assert acceptance(handshake(), None, [], compress=True) == []


@pytest.mark.parametrize(
    "extension",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(client_max_window_bits=True),
        ClientPerMessageDeflateFactory(client_max_window_bits=10, server_max_window_bits=15),
        ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
    ],
)
def test_a_real_client_is_content(extension):
    client = ClientProtocol(parse_uri("ws://example.com/x"), subprotocols=["a", "b"], extensions=[extension])
    client.send_request(client.connect())
    (received,) = peers.parse(b"".join(client.data_to_send()))
    assert not isinstance(received, PeerFailed)
    client.receive_data(accept(parse(received), subprotocol="b", headers=[(b"X", b"y")], compress=True))
    assert client.handshake_exc is None
    assert client.subprotocol == "b"
    (negotiated,) = client.extensions
    assert negotiated.remote_no_context_takeover
    assert negotiated.local_no_context_takeover


@given(protocol=st.binary(max_size=60), extensions=st.binary(max_size=60))
def test_any_offer_is_read_or_refused(protocol, extensions):
    headers = [(b"sec-websocket-protocol", protocol), (b"sec-websocket-extensions", extensions)]
    request = RequestReceived(
        method="GET",
        target=b"/",
        path=b"/",
        query=b"",
        http_version="1.1",
        headers=[*headers, (b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")],
        keep_alive=True,
        upgrade=True,
        content_length=0,
        expects_continue=False,
    )
    with contextlib.suppress(BadRequest):
        accept(parse(request), subprotocol=None, compress=True)


@given(
    st.lists(
        st.sampled_from(["permessage-deflate", ";", ",", "=", '"', "\\", " ", "server_max_window_bits", "15", "a"])
    )
)
def test_any_list_of_extensions_is_read_or_refused(words):
    with contextlib.suppress(BadRequest):
        deflate("".join(words).encode())
