"""The forms of an access log line: `common` for people and log analysers, `json` for machines.

What a peer has sent is shown, never obeyed: every byte outside printable ASCII is escaped, and so are quotes
(CVE-2020-7694), so a line is always one line, and a terminal that shows it stays as it is.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
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
    return CommonFormat() if name == "common" else format_json


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
    return _ODD.sub(_escape, text) if _ODD.search(text) else text


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


def format_json(access: Access, now: float) -> str:
    """Return one JSON object, with its line end. `time` is UTC."""
    is_http = access.action == "http"
    line = _Line(
        time=datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        protocol="http" if is_http else "websocket",
        action=access.action,
        client=access.client,
        method=access.method,
        path=access.path,
        http=access.http_version,
        seconds=round(access.seconds, 6),
        connection=access.connection,
        user_agent=access.user_agent,
        referer=access.referer,
    )
    if access.action == "disconnected":
        line.close_code = access.status
    else:
        line.status = access.status
    if is_http:
        line.bytes = access.size
    text = _encode(line).decode()
    # JSON leaves DEL and what lies above ASCII as it is; a terminal might not.
    return _NOT_ASCII.sub(_escape_json, text) + "\n" if _NOT_ASCII.search(text) else text + "\n"


def _escape_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
