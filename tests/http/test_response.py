"""`fairway.http.response`: which messages a response becomes."""

import io

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from fairway.http.response import chunk_bytes, encode_head, encode_headers, encode_response


def test_headers_keep_order_and_case_and_each_cookie_has_its_own():
    response = HttpResponse("x", content_type="text/plain", headers={"X-Fancy": "\xe9", "etag": "1"})
    response.set_cookie("b", "2", samesite="Lax")
    response.set_cookie("a", "1")
    assert encode_headers(response) == [
        (b"X-Fancy", b"\xe9"),
        (b"etag", b"1"),
        (b"Content-Type", b"text/plain"),
        (b"Set-Cookie", b"b=2; Path=/; SameSite=Lax"),
        (b"Set-Cookie", b"a=1; Path=/"),
    ]


def test_a_plain_response_is_one_message():
    response = HttpResponse("text", status=201)
    headers = [(b"Content-Type", b"text/html; charset=utf-8")]
    expected = {"status": 201, "headers": headers, "content": b"text", "more_content": False}
    assert list(encode_response(response)) == [expected]


def test_an_empty_response_is_one_message_too():
    (message,) = encode_response(HttpResponse())
    assert (message["content"], message["more_content"]) == (b"", False)


def test_a_large_response_is_cut():
    first, second, third = encode_response(HttpResponse(b"abcde"), chunk_size=2)
    assert (first["content"], first["more_content"]) == (b"ab", True)
    assert second == {"content": b"cd", "more_content": True}
    assert third == {"content": b"e", "more_content": False}


def test_a_stream_of_n_parts_is_n_messages_and_an_end():
    first, second, end = encode_response(StreamingHttpResponse(["a", b"b"]))
    assert (first["status"], first["content"], first["more_content"]) == (200, b"a", True)
    assert second == {"content": b"b", "more_content": True}
    assert end == {"content": b"", "more_content": False}


def test_an_empty_stream_is_one_message():
    (message,) = encode_response(StreamingHttpResponse([]))
    assert (message["status"], message["content"], message["more_content"]) == (200, b"", False)


def test_a_part_that_is_too_large_is_cut_and_does_not_end_the_stream():
    messages = list(encode_response(StreamingHttpResponse([b"abc"]), chunk_size=2))
    assert [(message["content"], message["more_content"]) for message in messages] == [
        (b"ab", True),
        (b"c", True),
        (b"", False),
    ]


def test_nothing_is_read_ahead_of_who_takes_the_messages():
    made = []

    def parts():
        for number in range(3):
            made.append(number)
            yield b"x"

    messages = encode_response(StreamingHttpResponse(parts()))
    assert made == []
    next(messages)
    assert made == [0]
    next(messages)
    assert made == [0, 1]


def test_a_response_without_content_that_is_no_stream_fails_as_in_django():
    response = StreamingHttpResponse([])
    response.streaming = False
    with pytest.raises(AttributeError):
        list(encode_response(response))


def test_a_file_is_exhausted_and_closed():
    file = io.BytesIO(b"abc")
    response = FileResponse(file)
    assert b"".join(message["content"] for message in encode_response(response)) == b"abc"
    response.close()
    assert file.closed
    response.close()


def test_a_file_that_cannot_be_closed_is_tolerated():
    class Bare:
        def __init__(self):
            self.parts = [b"a", b""]

        def read(self, _size):
            return self.parts.pop(0)

    response = FileResponse(Bare())
    assert len(list(encode_response(response))) == 2
    response.close()


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(0, [(0, True)]), (3, [(3, True)]), (4, [(4, True)]), (5, [(4, False), (1, True)]), (8, [(4, False), (4, True)])],
)
def test_chunks(size, chunks):
    assert [(len(chunk), is_last) for chunk, is_last in chunk_bytes(b"x" * size, 4)] == chunks


def test_head_reads_no_stream_and_does_not_look_empty():
    def parts():
        pytest.fail("a part was made for HEAD")
        yield b""

    first, second = encode_head(StreamingHttpResponse(parts()))
    assert (first["status"], first["content"], first["more_content"]) == (200, b"", True)
    assert second == {"content": b"", "more_content": False}


def test_head_leaves_the_body_away_where_its_length_is_told():
    (message,) = encode_head(HttpResponse("abc", headers={"Content-Length": "3"}))
    assert message["content"] == b""
    (message,) = encode_head(HttpResponse("abc"))
    assert message["content"] == b"abc"
