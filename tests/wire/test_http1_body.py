"""`fairway.wire.http1_body`: chunks and lengths, and each way to make two servers disagree about them."""

import pytest

from fairway.errors import BadRequest, HeadersTooLarge, RequestTooLarge
from fairway.limits import HttpLimits
from fairway.wire.events import BodyReceived, PeerFailed, RequestEnded
from fairway.wire.http1_body import MAX_CHUNK_LINE, ChunkedBody, LengthBody, check_total
from tests.wire.peers import joined, parse, request

CHUNKED = request("Transfer-Encoding: chunked", method="POST")


def body_events(coded, limits=None):
    return joined(parse(CHUNKED + coded, limits=limits))[1:]


def error_of(coded, limits=None):
    last = body_events(coded, limits)[-1]
    assert isinstance(last, PeerFailed), last
    return last.error


@pytest.mark.parametrize(
    "coded",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"003\r\nabc\r\n000\r\n\r\n",
        b"3;\r\nabc\r\n0\r\n\r\n",
        b"3;name\r\nabc\r\n0;last=yes\r\n\r\n",
        b'3;name="quoted; \xe9";b=c\r\nabc\r\n0\r\n\r\n',
        b"3\r\nabc\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX_Y: dropped like all\r\n\r\n",
    ],
)
def test_chunks(coded):
    assert body_events(coded) == [BodyReceived(b"abc"), RequestEnded()]


def test_sizes_are_hexadecimal():
    assert body_events(b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n")[0] == BodyReceived(b"x" * 26)
    assert body_events(b"a\r\n" + b"x" * 10 + b"\r\n0\r\n\r\n")[0] == BodyReceived(b"x" * 10)


@pytest.mark.parametrize(
    "size", [b"", b"0x3", b"+3", b"-3", b" 3", b"3 ", b"3\t", b"3 ;a", b"g", b"3,", b";a", b"\xb2", b"1_0", b"f" * 16]
)
def test_malformed_sizes(size):
    # CVE-2022-24801; white space before an extension is allowed by the grammar and used by nobody but attackers.
    assert isinstance(error_of(size + b"\r\nabc\r\n0\r\n\r\n"), BadRequest)


@pytest.mark.parametrize(
    "line", [b"3\n", b"3;a\n", b"3\r", b"3;a\rb\r\n", b"3;a\x00\r\n", b"3;a\x0b\r\n", b'3;a="\x85"\r\n', b"\n"]
)
def test_chunk_lines_end_in_crlf_and_hold_no_control_bytes(line):
    assert isinstance(error_of(line + b"abc\r\n0\r\n\r\n"), BadRequest)


@pytest.mark.parametrize("end", [b"XX", b"\n", b"\r\r", b"\n\r", b"0\r\n", b"\rX", b"abc\r\n"])
def test_chunks_end_in_crlf_and_nothing_else(end):
    # CVE-2025-43859.
    assert body_events(b"3\r\nabc" + end + b"0\r\n\r\n")[0] == BodyReceived(b"abc")
    assert isinstance(error_of(b"3\r\nabc" + end + b"0\r\n\r\n"), BadRequest)


@pytest.mark.parametrize(
    "trailer",
    [
        b"A\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: b\r\n c\r\n",
        b"A: b\n",
        b"\n",
        b"A: \x00\r\n",
        b"A: b\rc\r\n",
        b": b\r\n",
        b"A: \x85\r\n",
    ],
)
def test_malformed_trailers(trailer):
    assert isinstance(error_of(b"0\r\n" + trailer + b"\r\n"), BadRequest)


def test_trailers_have_the_limits_of_headers():
    # CVE-2026-22815.
    limits = HttpLimits(header_count=4, header_bytes=100)
    assert body_events(b"0\r\n" + b"A: b\r\n" * 4 + b"\r\n", limits) == [RequestEnded()]
    assert isinstance(error_of(b"0\r\n" + b"A: b\r\n" * 5 + b"\r\n", limits), HeadersTooLarge)
    assert isinstance(error_of(b"0\r\nA: " + b"b" * 200, limits), HeadersTooLarge)
    assert isinstance(error_of(b"0\r\n" + (b"A: " + b"b" * 50 + b"\r\n") * 2 + b"\r\n", limits), HeadersTooLarge)


def test_chunk_extensions_have_limits():
    # CVE-2023-39326: extensions without end, in one line or in chunks of one byte.
    assert isinstance(error_of(b"1;" + b"a" * (MAX_CHUNK_LINE + 2)), HeadersTooLarge)
    many = (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 100
    assert isinstance(error_of(many), HeadersTooLarge)


def test_a_chunk_larger_than_all_that_may_come():
    assert isinstance(error_of(b"fffffff\r\n", HttpLimits(body_total=1000)), RequestTooLarge)


def test_readers_tell_how_far_they_read():
    out = []
    body = LengthBody(3)
    assert body.read(b"xxab", 2, out) == 4
    assert not body.ended
    assert body.read(b"cGET", 0, out) == 1
    assert body.ended
    assert out == [b"ab", b"c"]
    chunks = ChunkedBody(HttpLimits())
    assert chunks.read(b"3\r\nabc\r\n0\r\n\r\nGET", 0, out) == 13
    assert chunks.ended


def test_total():
    check_total(10, -1)
    check_total(10, 10)
    with pytest.raises(RequestTooLarge):
        check_total(11, 10)
    with pytest.raises(RequestTooLarge):
        check_total(1, 0)
