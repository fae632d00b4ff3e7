"""How an interface server is set up: one frozen record, made at the edge (a command, a test) and read everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from fairway.limits import ServerLimits
from fairway.server.proxies import Proxies

Action = Literal["http", "connecting", "connected", "rejected", "disconnected"]


class Access(Struct, frozen=True, kw_only=True, gc=False):
    """One line of the access log.

    `path`, `user_agent` and `referer` are as the peer sent them: escape them before they reach a terminal. `status` is
    the close code of a WebSocket that has `disconnected`. `client` is `host:port`, empty where there is no address.
    `connection` is the reply channel, by which other logs name a connection.
    """

    action: Action
    client: str
    method: str
    path: str
    http_version: str
    status: int
    size: int
    seconds: float
    connection: str = ""
    user_agent: str = ""
    referer: str = ""


AccessLog = Callable[[Access], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything an interface server is told.

    Parameters:
        binds: where to listen: `HOST:PORT` (an IPv6 host in brackets), `unix:PATH` or `fd:N` (`server.binds`).
        root_path: the mount point, for `root_path` of every message; no trailing slash.
        trusted_origins: origins that may open WebSockets besides the page's own, as in `CSRF_TRUSTED_ORIGINS`.
        proxies: addresses, networks, or `unix`: the peers whose `X-Forwarded-*` and `Forwarded` headers count.
        access_log: called once for each exchange; None for no log.
        limits: every size and time.

    Raises:
        UsageError: an entry of `proxies` is neither an address nor a network.
    """

    binds: Sequence[str] = ("127.0.0.1:8000",)
    root_path: str = ""
    trusted_origins: Sequence[str] = ()
    proxies: Sequence[str] = ()
    access_log: AccessLog | None = None
    limits: ServerLimits = field(default_factory=ServerLimits)

    def __post_init__(self) -> None:
        Proxies(self.proxies)
