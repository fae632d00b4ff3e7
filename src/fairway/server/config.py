"""How an interface server is set up: one frozen record, made at the edge (a command, a test) and read everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fairway.limits import ServerLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One line of the access log. `path` is as the peer sent it: escape it before it reaches a terminal."""

    action: Literal["http", "connecting", "connected", "rejected", "disconnected"]
    client: str
    method: str
    path: str
    http_version: str
    status: int
    size: int
    seconds: float


AccessLog = Callable[[Access], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything an interface server is told.

    Parameters:
        binds: where to listen: `HOST:PORT` (an IPv6 host in brackets), `unix:PATH` or `fd:N`.
        root_path: the mount point, for `root_path` of every message; no trailing slash.
        trusted_origins: origins that may open WebSockets besides the page's own, as in `CSRF_TRUSTED_ORIGINS`.
        access_log: called once for each exchange; None for no log.
        limits: every size and time.
    """

    binds: Sequence[str] = ("127.0.0.1:8000",)
    root_path: str = ""
    trusted_origins: Sequence[str] = ()
    access_log: AccessLog | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)
