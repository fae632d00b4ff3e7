"""A Django request made from an `http.request` message.

`META` is built once, in one pass over the headers, by the rules of WSGI (PEP 3333) as far as they hold without a WSGI
server: no variable of the process's environment is in it, and `wsgi.input` is the body, already collected.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.handlers.wsgi import get_str_from_wsgi
from django.http import HttpRequest, QueryDict, parse_cookie
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property

from fairway.errors import ResponseLater
from fairway.http.body import SharedStream, check_bytes, collect_body
from fairway.url_routing import path_below

if TYPE_CHECKING:
    from fairway.channel import Channel
    from fairway.message import Message

_UNPREFIXED = {b"CONTENT_LENGTH", b"CONTENT_TYPE"}


class AsgiRequest(HttpRequest):
    """The request behind a message. Making one reads the whole body.

    Raises:
        UnicodeDecodeError: the path or the query string is not UTF-8.
        RequestAborted, RequestTimeout: as `collect_body`.
    """

    ResponseLater = ResponseLater
    body_receive_timeout: float = 60
    """Seconds for the whole body; -1 is no limit."""

    is_answered_later = False
    """The view has raised `ResponseLater`."""

    when_answered: Sequence[Callable[[], None]] = ()
    """See `fairway.http.current`."""

    _encoding: str | None
    _files: MultiValueDict[str, Any]

    def __init__(self, message: "Message") -> None:
        # As Django's own requests this does not call `HttpRequest.__init__`, which makes what is then thrown away.
        content = message.content
        self.message = message
        self.reply_channel: Channel | None = message.reply_channel
        self._post_parse_error = False
        self._read_started = False
        self.resolver_match = None
        path = content["path"]
        self.path = path if isinstance(path, str) else path.decode()
        self.script_name = script_name(content)
        self.path_info = path_below(self.path, self.script_name)
        self.method = content["method"].upper()
        self._scheme = content.get("scheme") or "http"
        self.META = self._make_meta(content)
        self._open_body(content)
        self._read_content_type()

    def _make_meta(self, content: Mapping[str, Any]) -> dict[str, Any]:
        query = content.get("query_string") or ""
        client = content.get("client")
        server = content.get("server")
        meta: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "QUERY_STRING": query if isinstance(query, str) else query.decode(),
            "SCRIPT_NAME": self.script_name,
            "PATH_INFO": self.path_info,
            "SERVER_NAME": server[0] if server else "unknown",
            "SERVER_PORT": str(server[1]) if server else "0",
            "SERVER_PROTOCOL": f"HTTP/{content.get('http_version') or '1.1'}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self._scheme,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if client:
            meta["REMOTE_ADDR"] = meta["REMOTE_HOST"] = client[0]
            meta["REMOTE_PORT"] = client[1]
        headers = content.get("headers")
        if headers:
            add_headers(meta, headers.items() if isinstance(headers, dict) else headers)
        return meta

    def _open_body(self, content: Mapping[str, Any]) -> None:
        body = check_bytes(content.get("body"))
        size = len(body)
        if content.get("body_channel"):
            self._file, size = collect_body(body, self.message, self.body_receive_timeout)
            self.META["wsgi.input"] = self._file
            self._stream: Any = SharedStream(self._file)
        else:
            # Two readers of the same bytes: Django closes its own, and must not take META's away.
            self.META["wsgi.input"] = self._file = BytesIO(body)
            self._stream = BytesIO(body)
        if size:
            self._state_length(size)

    def _state_length(self, size: int) -> None:
        """Make CONTENT_LENGTH tell the truth: Django's limits on uploads trust it, and a chunked body comes without."""
        self.META["CONTENT_LENGTH"] = str(size)

    def _read_content_type(self) -> None:
        if "CONTENT_TYPE" in self.META:
            self._set_content_type_params(self.META)  # type: ignore[attr-defined]  # the stubs lack it
        else:
            self.content_type = ""
            self.content_params = {}

    def _get_scheme(self) -> str:
        return self._scheme

    @cached_property
    def GET(self) -> QueryDict:  # type: ignore[override]  # noqa: N802  Django's name
        """The parsed query string."""
        return QueryDict(self.META["QUERY_STRING"], encoding=self._encoding)

    @cached_property
    def COOKIES(self) -> dict[str, str]:  # type: ignore[override]  # noqa: N802  Django's name
        """The parsed cookies, read as UTF-8, which is what browsers send."""
        return parse_cookie(get_str_from_wsgi(self.META, "HTTP_COOKIE", ""))

    def _get_post(self) -> QueryDict:
        if not hasattr(self, "_post"):
            self._load_post_and_files()
        return self._post

    def _set_post(self, post: QueryDict) -> None:
        self._post = post

    def _get_files(self) -> MultiValueDict[str, Any]:
        if not hasattr(self, "_files"):
            self._load_post_and_files()
        return self._files

    POST = property(_get_post, _set_post)
    FILES = property(_get_files)

    def close(self) -> None:
        """Close the body and the uploaded files."""
        super().close()
        self._stream.close()
        self._file.close()


def script_name(content: Mapping[str, Any]) -> str:
    """Return where the application is mounted: the setting where there is one, else what the server says."""
    forced: str | None = settings.FORCE_SCRIPT_NAME
    return forced if forced is not None else content.get("root_path") or ""


def add_headers(meta: dict[str, Any], headers: Iterable[Sequence[Any]]) -> None:
    """Put request headers into `meta`, in linear time however often one is repeated.

    Cookies are joined with `; `, because a cookie after a comma would become part of the one before it.
    """
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        key = _meta_key(name)
        if not key:
            continue
        text = value.decode("latin-1")
        if key not in meta:
            meta[key] = text
        elif key in repeated:
            repeated[key].append(text)
        else:
            repeated[key] = [meta[key], text]
    for key, values in repeated.items():
        meta[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)


@lru_cache(maxsize=512)
def _meta_key(name: bytes | str) -> str:
    """Return the key of a header in META; "" when it has none.

    A name with `_` would appear under the key of the same name with `-`, which a proxy may have set (CVE-2015-0219).
    """
    raw = name.encode("latin-1") if isinstance(name, str) else name
    if b"_" in raw:
        return ""
    key = raw.upper().replace(b"-", b"_")
    return key.decode("latin-1") if key in _UNPREFIXED else f"HTTP_{key.decode('latin-1')}"
