"""The body of a request, fully collected before the view runs.

A small body travels inside the request message. The rest of a larger one follows on a single-reader channel, as fast
as it is granted: each chunk is committed with a `Grant` of its size, so the server never has more under way than its
window. What is above `FILE_UPLOAD_MAX_MEMORY_SIZE` goes to a temporary file, as in Django's own handlers.
"""

from io import SEEK_SET
from tempfile import SpooledTemporaryFile
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from django.conf import settings

from fairway.broker.effects import Grant
from fairway.errors import RequestAborted, RequestTimeout
from fairway.layers.base import Reader
from fairway.layers.codec import decode_message

if TYPE_CHECKING:
    from fairway.message import Message

WINDOW = 4
"""Chunks that may wait here while one is written: what the server's window holds in chunks of the usual size."""


class SharedStream:
    """Reads a file that `request.META` holds too: Django closes a stream that it has read, and this one stays open."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read
        self.readline = file.readline
        self._seek = file.seek

    def seekable(self) -> bool:
        """Say that Django may find out the true size of the body."""
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to another place, and return it."""
        return self._seek(offset, whence)

    def close(self) -> None:
        """Leave the file open; `AsgiRequest.close` closes it."""


def check_bytes(content: object) -> bytes:
    """Return a part of a body.

    Raises:
        AssertionError: it is not bytes; whoever made the message broke the message standard.
    """
    if content is None:
        return b""
    if not isinstance(content, bytes):
        raise AssertionError(f"a request body is bytes, not {type(content).__name__}")  # noqa: TRY004
    return content


def collect_body(first: bytes, message: "Message", timeout: float) -> tuple[IO[bytes], int]:
    """Read the rest of a body from its `body_channel`; return a file with all of it, and its size.

    Parameters:
        first: the part that the request message holds.
        message: the request; it names the channel, and whom to grant more.
        timeout: seconds for the whole body; a negative number is no limit.

    Raises:
        RequestAborted: the client went away.
        RequestTimeout: the time is over.
    """
    reader = _open_reader(message)
    body: IO[bytes] = SpooledTemporaryFile(  # noqa: SIM115  closed with the request
        max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, dir=settings.FILE_UPLOAD_TEMP_DIR
    )
    try:
        body.write(first)
        _copy(reader, body, message.content["reply_channel"], timeout)
        size = body.tell()
        body.seek(0)
    except BaseException:
        body.close()
        raise
    finally:
        reader.close()
    return body, size


def _open_reader(message: "Message") -> Reader:
    channel = message.content["body_channel"]
    if message.channel_layer is None:
        raise ValueError(f"the message came through no layer, so the rest of its body cannot be read from {channel!r}")
    return message.channel_layer.reader([channel], WINDOW)


def _copy(reader: Reader, body: IO[bytes], reply_channel: str, timeout: float) -> None:
    deadline = monotonic() + timeout if timeout >= 0 else None
    while True:
        chunk = _next_chunk(reader, reply_channel, deadline)
        if chunk.get("closed"):
            raise RequestAborted("the client went away while its request body was being read")
        body.write(check_bytes(chunk.get("content")))
        if not chunk.get("more_content"):
            return


def _next_chunk(reader: Reader, reply_channel: str, deadline: float | None) -> dict[str, Any]:
    left = deadline - monotonic() if deadline is not None else None
    delivery = reader.receive(left) if left is None or left > 0 else None
    if delivery is None:
        raise RequestTimeout("the request body took too long to arrive")
    chunk = decode_message(delivery.body)
    size = len(check_bytes(chunk.get("content")))
    grant = [Grant(reply_channel, size)] if size and chunk.get("more_content") else []
    reader.commit(delivery, grant)
    return chunk
