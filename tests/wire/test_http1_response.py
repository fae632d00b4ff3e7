"""`fairway.wire.http1_response`: a response says itself where it ends, and no header of an application breaks out."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import InvalidMessage
from fairway.wire.http1_response import CONTINUE, ResponseEncoder, check_value, checked_name, error_response
from tests.wire.peers import parse, request

DATE = b"Sat, 21 Nov 2026 02:00:00 GMT"


class Client:
    """What a strict client makes of the bytes."""

    def __init__(self, data):
        self.headers = []
        self.content = b""
        self.complete = False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(data)
        self.status = parser.get_status_code()

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_body(self, data):
        self.content += data

    def on_message_complete(self):
        self.complete = True

    def get(self, name):
        return [value for key, value in self.headers if key == name]


def encoder(*lines, method="GET", version="HTTP/1.1"):
    return ResponseEncoder(parse(request(*lines, method=method, version=version))[0])


def whole(encoder, status=200, headers=(), content=b"", keep_alive=True):
    return encoder.whole(status, headers, content, keep_alive=keep_alive, date=DATE)


def streamed(encoder, chunks, headers=(), status=200):
    head = encoder.head(status, headers, last_content=None, keep_alive=True, date=DATE)
    return b"".join([head, *map(encoder.data, chunks), encoder.end()])


def test_a_whole_response_byte_by_byte():
    response = encoder()
    assert whole(response, headers=[(b"Content-Type", b"text/plain")], content=b"hello") == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/plain\r\n"
        b"date: Sat, 21 Nov 2026 02:00:00 GMT\r\n"
        b"server: fairway\r\n"
        b"content-length: 5\r\n"
        b"\r\n"
        b"hello"
    )
    assert response.keep_alive
    assert not response.truncated


def test_an_empty_response_has_a_length():
    client = Client(whole(encoder()))
    assert client.get(b"content-length") == [b"0"]
    assert client.complete


def test_a_streamed_response_comes_in_chunks():
    response = encoder()
    data = streamed(response, [b"abc", b"", b"d" * 300])
    assert data.endswith(b"3\r\nabc\r\n12c\r\n" + b"d" * 300 + b"\r\n0\r\n\r\n")
    client = Client(data)
    assert client.get(b"transfer-encoding") == [b"chunked"]
    assert client.content == b"abc" + b"d" * 300
    assert client.complete
    assert response.keep_alive


def test_a_streamed_response_with_a_length_of_its_own():
    response = encoder()
    data = streamed(response, [b"ab", b"c"], [(b"Content-Length", b"3")])
    client = Client(data)
    assert (client.content, client.complete) == (b"abc", True)
    assert client.get(b"transfer-encoding") == []
    assert response.keep_alive


def test_a_body_shorter_than_its_length_ends_the_connection():
    response = encoder()
    assert not Client(streamed(response, [b"ab"], [(b"Content-Length", b"3")])).complete
    assert response.truncated
    assert not response.keep_alive


def test_a_body_longer_than_its_length_is_cut():
    response = encoder()
    client = Client(streamed(response, [b"ab", b"cd", b"e"], [(b"Content-Length", b"3")]))
    assert (client.content, client.complete) == (b"abc", True)
    assert response.excess == 2
    assert not response.truncated
    assert response.keep_alive


def test_the_length_of_an_application_is_kept_when_all_is_known():
    response = encoder()
    assert whole(response, headers=[(b"content-length", b"2")], content=b"abc").endswith(b"\r\n\r\nab")
    assert response.excess == 1


@pytest.mark.parametrize("value", [b"", b"a", b"-1", b"+1", b"1 1", b"1,1", b"9" * 19, b"\xb2"])
def test_invalid_lengths_of_an_application(value):
    with pytest.raises(InvalidMessage):
        whole(encoder(), headers=[(b"Content-Length", value)], content=b"a")


def test_two_lengths_of_an_application():
    client = Client(whole(encoder(), headers=[(b"Content-Length", b"1"), (b"content-length", b" 1")], content=b"a"))
    assert client.get(b"content-length") == [b"1"]
    with pytest.raises(InvalidMessage):
        whole(encoder(), headers=[(b"Content-Length", b"1"), (b"Content-Length", b"2")], content=b"a")


def test_head_is_answered_without_a_body():
    response = encoder(method="HEAD")
    data = whole(response, content=b"abc")
    assert data.endswith(b"content-length: 3\r\n\r\n")
    assert response.keep_alive
    response = encoder(method="HEAD")
    assert streamed(response, [b"abc"], [(b"Content-Length", b"9")]).endswith(b"content-length: 9\r\n\r\n")
    assert not response.truncated
    assert response.keep_alive
    # Nothing is known about the length of what a GET would give.
    assert b"content-length" not in whole(encoder(method="HEAD"))
    assert b"transfer-encoding" not in streamed(encoder(method="HEAD"), [b"abc"])


def test_204_has_neither_body_nor_length():
    response = encoder()
    data = whole(response, 204, [(b"Content-Length", b"3")], b"abc")
    assert data.endswith(b"server: fairway\r\n\r\n")
    assert b"ength" not in data
    assert response.keep_alive
    assert b"transfer-encoding" not in streamed(encoder(), [b"abc"], status=204)


def test_205_is_empty():
    assert whole(encoder(), 205, content=b"abc").endswith(b"content-length: 0\r\n\r\n")


def test_304_has_no_body_but_may_tell_its_length():
    assert whole(encoder(), 304, [(b"Content-Length", b"3")], b"abc").endswith(b"content-length: 3\r\n\r\n")
    assert b"length" not in whole(encoder(), 304)
    assert b"length" not in whole(encoder(), 304, [(b"Content-Length", b"0")])


def test_http_1_0_is_delimited_by_length_or_by_the_end():
    response = encoder("Connection: keep-alive", version="HTTP/1.0")
    client = Client(whole(response, content=b"abc"))
    assert client.get(b"connection") == [b"keep-alive"]
    assert response.keep_alive
    response = encoder("Connection: keep-alive", version="HTTP/1.0")
    data = streamed(response, [b"ab", b"c"])
    assert data.endswith(b"connection: close\r\n\r\nabc")
    assert b"transfer-encoding" not in data
    assert not response.keep_alive


@pytest.mark.parametrize(
    ("lines", "headers", "keep_alive"),
    [
        (["Connection: close"], [], True),
        ([], [(b"Connection", b"foo, Close")], True),
        ([], [], False),
    ],
)
def test_each_side_can_end_the_connection(lines, headers, keep_alive):
    response = encoder(*lines)
    client = Client(whole(response, headers=headers, keep_alive=keep_alive))
    assert client.get(b"connection") == [b"close"]
    assert not response.keep_alive


def test_headers_about_the_connection_are_dropped():
    names = [b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer", b"Transfer-Encoding", b"Upgrade"]
    client = Client(whole(encoder(), headers=[(name, b"chunked") for name in names], content=b"abc"))
    assert [name for name, _ in client.headers] == [b"date", b"server", b"content-length"]
    assert client.content == b"abc"


def test_an_application_may_name_date_and_server():
    data = whole(encoder(), headers=[(b"Server", b"mine"), (b"DATE", b"today")])
    assert (Client(data).get(b"server"), Client(data).get(b"date")) == ([b"mine"], [b"today"])
    assert b"fairway" not in data


def test_no_date_without_a_clock():
    data = encoder().whole(200, [], b"", keep_alive=True)
    assert b"date" not in data.lower()


def test_names_keep_their_case_and_order():
    data = whole(encoder(), headers=[(b"X-b", b"1"), (b"x-A", b"2"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")])
    assert b"X-b: 1\r\nx-A: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" in data


@pytest.mark.parametrize("byte", [*range(0x09), *range(0x0A, 0x20), 0x7F])
def test_control_bytes_in_a_value_are_refused(byte):
    # CVE-2020-7695.
    with pytest.raises(InvalidMessage, match="X-Name"):
        whole(encoder(), headers=[(b"X-Name", b"a" + bytes([byte]) + b"b")])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\x00", b"\xe9"])
def test_wrong_names_are_refused(name):
    with pytest.raises(InvalidMessage) as caught:
        whole(encoder(), headers=[(name, b"value")])
    assert caught.value.key == "headers"
    assert repr(name) in str(caught.value)


def test_opaque_bytes_in_a_value_travel():
    assert b"X: \xc3\x85\t\xff\r\n" in whole(encoder(), headers=[(b"X", b"\xc3\x85\t\xff")])


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 600, 1000])
def test_a_status_that_ends_no_request_is_refused(status):
    with pytest.raises(InvalidMessage) as caught:
        whole(encoder(), status)
    assert caught.value.key == "status"


def test_reasons():
    def first_line(status, reason=b""):
        return encoder().whole(status, [], b"", keep_alive=True, reason=reason).split(b"\r\n")[0]

    assert first_line(404) == b"HTTP/1.1 404 Not Found"
    assert first_line(599) == b"HTTP/1.1 599 "
    assert first_line(200, b"Fine by me") == b"HTTP/1.1 200 Fine by me"
    with pytest.raises(InvalidMessage):
        first_line(200, b"OK\r\nX: y")


def test_error_response():
    client = Client(error_response(503, "try again", retry_after=5, date=DATE, headers=[(b"X-A", b"b")]))
    assert (client.status, client.content, client.complete) == (503, b"try again\n", True)
    assert client.get(b"connection") == [b"close"]
    assert client.get(b"retry-after") == [b"5"]
    assert client.get(b"date") == [DATE]
    assert client.get(b"x-a") == [b"b"]
    assert Client(error_response(400, "\ud800 odd")).content == b"? odd\n"
    assert error_response(599, "x").startswith(b"HTTP/1.1 599 \r\n")
    with pytest.raises(InvalidMessage):
        error_response(400, "x", headers=[(b"X", b"a\r\nb")])


def test_continue():
    assert CONTINUE == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_checks():
    assert checked_name(b"X-Name") == b"x-name"
    check_value(b"X", b"fine")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    version=st.sampled_from(["HTTP/1.0", "HTTP/1.1"]),
    status=st.sampled_from([200, 201, 204, 205, 304, 404, 500]),
    chunks=st.lists(st.binary(max_size=20), max_size=4),
    length=st.none() | st.integers(0, 60),
    known=st.booleans(),
)
def test_what_lives_on_was_framed(method, version, status, chunks, length, known):
    """Whenever the connection lives on, a client has seen the end of the response, and nothing of another one."""
    response = encoder("Connection: keep-alive", method=method, version=version)
    headers = [] if length is None else [(b"Content-Length", b"%d" % length)]
    content = b"".join(chunks)
    data = whole(response, status, headers, content) if known else streamed(response, chunks, headers, status)
    if method == "HEAD":
        assert data.endswith(b"\r\n\r\n")
        assert response.keep_alive
        return
    client = Client(data)
    assert not response.keep_alive or client.complete
    assert response.truncated <= (not response.keep_alive)
    assert content.startswith(client.content)
