"""The forms of an access log line: `common` for people and log analysers, `json` for machines.

What a peer has sent is shown, never obeyed: every byte outside printable ASCII is escaped, and so are quotes
(CVE-2020-7694), so a line is always one line, and a terminal that shows it stays as it is.
"""

import re
import time
from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from msgspec.json import Encoder

from fairway.server.config import Access

Format = Literal["common", "json"]
FormatLine = Callable[[Access, float], str]
"""Makes a line, with its line end, of an exchange and of the time (seconds since 1970)."""

_METHODS = {
    "connecting": "WSCONNECTING",
    "connected": "WSCONNECT",
    "rejected": "WSREJECT",
    "disconnected": "WSDISCONNECT",
}
_ODD = re.compile(r'[^\x20-\x7e]|["\\]')
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


def new_format(name: Format) -> FormatLine:
    """Return what makes lines of this form."""
    return CommonFormat() if name == "common" else JsonFormat()


class CommonFormat:
    """The common log line, with referer and user agent behind it (the "combined" form of Apache and nginx).

    WebSockets have a line for each step, with a name in place of a method, and `-` for status and size.
    """

    __slots__ = ("_second", "_stamp")

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def __call__(self, access: Access, now: float) -> str:
        """Return the line."""
        second = int(now)
        if second != self._second:  # once a second, not once a request
            self._second = second
            self._stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
        host = access.client.rpartition(":")[0] or "-"
        if access.action == "http":
            method, status, size = access.method, str(access.status or "-"), str(access.size)
        else:
            method, status, size = _METHODS[access.action], "-", "-"
        request = f"{method} {_shown(access.path)} HTTP/{access.http_version}" if access.path else "-"
        referer, agent = _shown(access.referer) or "-", _shown(access.user_agent) or "-"
        return f'{host} - - [{self._stamp}] "{request}" {status} {size} "{referer}" "{agent}"\n'


def _shown(text: str) -> str:
    # Four calls into C that most texts pass take half the time of one regular expression.
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _ODD.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


class _Line(Struct, omit_defaults=True, gc=False):
    time: str
    protocol: str
    action: str
    client: str
    method: str
    path: str
    http: str
    seconds: float
    connection: str
    status: int = 0
    close_code: int = 0
    bytes: int | None = None
    user_agent: str = ""
    referer: str = ""


_encode = Encoder().encode


class JsonFormat:
    """One JSON object a line. `time` is UTC."""

    __slots__ = ("_second", "_stamp")

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""

    def __call__(self, access: Access, now: float) -> str:
        """Return the line."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        is_http, has_ended = access.action == "http", access.action == "disconnected"
        line = _Line(
            time=f"{self._stamp}.{int((now - second) * 1000):03}Z",
            protocol="http" if is_http else "websocket",
            action=access.action,
            client=access.client,
            method=access.method,
            path=access.path,
            http=access.http_version,
            seconds=round(access.seconds, 6),
            connection=access.connection,
            status=0 if has_ended else access.status,
            close_code=access.status if has_ended else 0,
            bytes=access.size if is_http else None,
            user_agent=access.user_agent,
            referer=access.referer,
        )
        text = _encode(line).decode()
        # JSON leaves DEL and what lies above ASCII as it is; a terminal might not.
        if not text.isascii() or "\x7f" in text:
            text = _NOT_ASCII.sub(_escape_json, text)
        return text + "\n"


def _escape_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
