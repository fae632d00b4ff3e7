"""A Django response as messages (message standard, section 5.3)."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from django.http import HttpResponseBase

from fairway.http.streaming import iterate

CHUNK_SIZE = 512 * 1024
"""A response up to this size is one message. Larger ones are cut, so that none is above a layer's limit."""

ReplyMessage = dict[str, Any]


def encode_headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    """Return the headers in Django's order and case, and one `Set-Cookie` for each cookie."""
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    if response.cookies:
        headers += [(b"Set-Cookie", cookie.OutputString().encode("ascii")) for cookie in response.cookies.values()]
    return headers


def encode_response(response: Any, chunk_size: int = CHUNK_SIZE) -> Generator[ReplyMessage, None, None]:
    """Yield the messages of a response. Of a streaming one nothing is read ahead of whoever takes the messages."""
    message: ReplyMessage = {"status": response.status_code, "headers": encode_headers(response)}
    if not response.streaming:
        for chunk, is_last in chunk_bytes(response.content, chunk_size):
            message["content"] = chunk
            message["more_content"] = not is_last
            yield message
            message = {}
        return
    with closing(iterate(response)) as parts:
        for part in parts:
            for chunk, _ in chunk_bytes(part, chunk_size):
                message["content"] = chunk
                message["more_content"] = True
                yield message
                message = {}
    message["content"] = b""
    message["more_content"] = False
    yield message


def encode_head(response: Any) -> Generator[ReplyMessage, None, None]:
    """Yield the messages that answer HEAD: no body is read from an iterator, and none travels without need.

    A body whose length no header tells is sent all the same: the server counts it, and drops it. A streaming response
    is given as two messages, so that the server does not take it for an empty one.
    """
    message: ReplyMessage = {"status": response.status_code, "headers": encode_headers(response)}
    if not response.streaming:
        content = b"" if response.has_header("Content-Length") else response.content
        yield {**message, "content": content, "more_content": False}
        return
    yield {**message, "content": b"", "more_content": True}
    yield {"content": b"", "more_content": False}


def chunk_bytes(data: bytes, chunk_size: int = CHUNK_SIZE) -> Iterator[tuple[bytes, bool]]:
    """Yield the data in chunks, each with whether it is the last one; empty data is one empty chunk."""
    size = len(data)
    if size <= chunk_size:
        yield data, True
        return
    for start in range(0, size, chunk_size):
        end = start + chunk_size
        yield data[start:end], end >= size
