"""`fairway.wire.frames`: what the server sends, byte by byte where the RFC shows it, and read back by `websockets`."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import CLIENT, Protocol

from fairway.errors import InvalidMessage
from fairway.wire import frames


def read(data, deflate=False):
    """The frames that a strict client reads."""
    client = Protocol(CLIENT, max_size=None)
    if deflate:
        client.extensions = [PerMessageDeflate(True, True, 15, 15)]
    client.receive_data(data)
    assert client.parser_exc is None
    return client.events_received()


def test_the_examples_of_the_rfc():
    # RFC 6455, 5.7.
    assert frames.encode_text("Hello") == bytes.fromhex("810548656c6c6f")
    assert frames.encode_ping(b"Hello") == bytes.fromhex("890548656c6c6f")
    assert frames.encode_pong(b"Hello") == bytes.fromhex("8a0548656c6c6f")
    assert frames.encode_bytes(bytes(256)) == bytes.fromhex("827e0100") + bytes(256)
    assert frames.encode_bytes(bytes(65536)) == bytes.fromhex("827f0000000000010000") + bytes(65536)
    assert frames.encode_ping() == b"\x89\x00"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_every_width_of_a_length(size):
    assert read(frames.encode_bytes(b"x" * size)) == [Frame(2, b"x" * size)]
    assert read(frames.encode_text("x" * size)) == [Frame(1, b"x" * size)]


@given(st.text(max_size=200), st.binary(max_size=200))
def test_a_client_reads_what_was_sent(text, data):
    sent = frames.encode_text(text) + frames.encode_bytes(data)
    assert [frame.data for frame in read(sent)] == [text.encode(), data]


@given(st.binary(max_size=3000))
def test_a_client_inflates_what_was_deflated(data):
    sent = frames.deflate_message(data, frames.BINARY) + frames.deflate_message(data, frames.BINARY)
    assert [frame.data for frame in read(sent, deflate=True)] == [data, data]


def test_a_deflated_message():
    # RFC 7692, 7.2.3.1.
    assert frames.deflate_message(b"Hello", frames.TEXT) == bytes.fromhex("c107f248cdc9c90700")
    assert frames.deflate_message(b"", frames.TEXT) == bytes.fromhex("c10100")
    assert len(frames.deflate_message(b"x" * 100_000, frames.TEXT)) < 300


def test_a_smaller_window_is_kept():
    data = bytes(range(256)) * 40
    packed = frames.deflate_message(data, frames.BINARY, window_bits=9)
    start = 2 if packed[1] < 126 else 4
    assert zlib.decompressobj(wbits=-9).decompress(packed[start:] + b"\x00\x00\xff\xff") == data


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_close_codes_that_travel(code):
    (frame,) = read(frames.encode_close(code, "why \u20ac"))
    assert frame.data == code.to_bytes(2, "big") + "why \u20ac".encode()
    assert frames.is_close_code(code)


@pytest.mark.parametrize("code", [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65536, 10**9])
def test_close_codes_that_do_not(code):
    # CVE-2026-45736 and the Autobahn suite.
    assert not frames.is_close_code(code)
    with pytest.raises(InvalidMessage) as caught:
        frames.encode_close(code, "why")
    assert caught.value.key == "close"


def test_a_close_without_a_code():
    assert frames.encode_close(1005) == b"\x88\x00"


def test_a_reason_fits_a_control_frame():
    assert len(frames.encode_close(1000, "x" * 123)) == 127
    for reason in ("x" * 124, "\u20ac" * 42, "\ud800"):
        with pytest.raises(InvalidMessage) as caught:
            frames.encode_close(1000, reason)
        assert caught.value.key == "reason"


def test_what_cannot_be_sent():
    with pytest.raises(InvalidMessage) as caught:
        frames.encode_text("a\ud800")
    assert caught.value.key == "text"
    for encode in (frames.encode_ping, frames.encode_pong):
        assert len(encode(b"x" * 125)) == 127
        with pytest.raises(InvalidMessage):
            encode(b"x" * 126)
