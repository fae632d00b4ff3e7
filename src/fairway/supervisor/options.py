"""The options of `fairway serve`, as data: how each is written, what it means, and which limit it sets.

Other commands that start a server take the same options and pass them on (`arguments`).
"""

import argparse
import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairway.errors import CannotListen
from fairway.limits import UNLIMITED, BrokerLimits, ServerLimits
from fairway.supervisor.logs import LEVELS

LAYER_VARIABLE = "FAIRWAY_LAYER"
"""The environment variable that names the layer where `--layer` does not."""

DEFAULT_BINDS = ("127.0.0.1:8000",)
DRAIN_LAYER = 5.0
UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def seconds(text: str) -> float:
    """Read a timeout: above 0, or -1 for none."""
    number = _number(text)
    if number <= 0 and number != UNLIMITED:
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0, or -1 for no limit")
    return number


def duration(text: str) -> float:
    """Read a time that passes: 0 or more."""
    number = _number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be 0 or more seconds")
    return number


def count(text: str) -> int:
    """Read a number of things: 1 or more, or -1 for no limit."""
    if text == "-1":
        return UNLIMITED
    return positive(text, "1 or more, or -1 for no limit")


def positive(text: str, wanted: str = "1 or more") -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, {wanted}")
    return int(text)


def some(text: str) -> int:
    """Read a number of things that there may be none of: 0 or more."""
    return 0 if text == "0" else positive(text, "0 or more")


def size(text: str) -> int:
    """Read a number of bytes: `65536`, `64k`, `1M`; or -1 for no limit."""
    if text == "-1":
        return UNLIMITED
    unit = text[-1:].lower() if text[-1:].isalpha() else ""
    digits = text.removesuffix(text[-1:]) if unit else text
    if not digits.isdecimal() or unit not in UNITS or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write bytes (65536) or 64k, 1M, 2G, or -1 for no limit")
    return int(digits) * UNITS[unit]


def bind(text: str) -> str:
    """Read an address to listen on."""
    from fairway.server.binds import parse_bind

    try:
        parse_bind(text)
    except CannotListen as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def tcp_or_unix(text: str) -> str:
    """Read an address to listen on that no other process has opened."""
    if text.startswith("fd:"):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used here; write HOST:PORT or unix:PATH")
    return bind(text)


def proxy(text: str) -> str:
    """Read the address of a proxy: an address, a network, or `unix`."""
    if text != "unix":
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            wanted = "10.0.0.5, 10.0.0.0/8, or unix for whoever comes through a Unix socket"
            raise argparse.ArgumentTypeError(f"{text!r} is no address of a proxy; write {wanted}") from None
    return text


def mount(text: str) -> str:
    """Read the path under which the project is mounted."""
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} must begin with a slash, such as /shop")
    return text.rstrip("/")


def origin(text: str) -> str:
    """Read a trusted origin, as in `CSRF_TRUSTED_ORIGINS`."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin; write https://example.com or https://*.example.com")
    return text


def pattern(text: str) -> str:
    """Read `PATTERN=NUMBER`, and leave it as it is."""
    name, equals, number = text.rpartition("=")
    if not name or not equals or (_number(number) <= 0 and number != "-1"):
        wanted = "CHANNEL=NUMBER, such as thumbnails=500 or imports.*=-1"
        raise argparse.ArgumentTypeError(f"{text!r} is no limit of a channel; write {wanted}")
    return text


def layer_url(text: str) -> str:
    """Read the URL of a layer that other processes can reach."""
    scheme, found, _ = text.partition("://")
    if not found or not scheme:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL; write local:// or local:///run/mysite/fairway.sock")
    if scheme == "memory":
        raise argparse.ArgumentTypeError(f"{text!r}: workers in other processes could not reach it; use local://")
    return text


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not -1e9 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return number


@dataclass(frozen=True, slots=True)
class Limit:
    """An option that sets a limit: `record` is a part of `ServerLimits` (or itself), `name` the field."""

    flag: str
    record: str
    name: str
    read: Callable[[str], Any]
    help: str

    @property
    def dest(self) -> str:
        """The option's name in a namespace."""
        return self.flag.removeprefix("--").replace("-", "_")

    def default(self) -> Any:
        """Return the limit that holds when the option is not given."""
        limits = ServerLimits()
        return getattr(getattr(limits, self.record) if self.record else limits, self.name)


TIMES = (
    Limit("--http-timeout", "http", "answer_timeout", seconds, "until an unanswered request gets a 504"),
    Limit("--handshake-timeout", "websocket", "connect_timeout", seconds, "until an undecided WebSocket gets a 504"),
    Limit("--head-timeout", "http", "head_timeout", seconds, "for a client to send the head of a request"),
    Limit("--body-timeout", "http", "body_timeout", seconds, "between two pieces of a request body"),
    Limit("--keep-alive", "http", "keep_alive", seconds, "that a connection may idle between requests"),
    Limit("--ping-interval", "websocket", "ping_interval", seconds, "of silence after which a WebSocket is pinged"),
    Limit("--ping-timeout", "websocket", "ping_timeout", seconds, "for the pong to come"),
    Limit("--stall-timeout", "websocket", "stall", seconds, "that a client may take nothing of what is sent"),
    Limit("--lifetime", "websocket", "lifetime", seconds, "that a WebSocket may stay open"),
)
COUNTS = (
    Limit("--max-connections", "rates", "connections", count, "open connections of one server process"),
    Limit("--max-per-address", "rates", "connections_per_address", count, "open connections from one address"),
    Limit("--max-connect-rate", "rates", "connects", count, "new connections a second from one address"),
    Limit("--max-message-rate", "rates", "messages", count, "messages a second from one WebSocket"),
    Limit("--max-message", "websocket", "message", size, "bytes of a WebSocket message, inflated"),
    Limit("--max-unsent", "websocket", "unsent", size, "bytes that may wait for a client that reads slowly"),
    Limit("--max-body", "http", "body_total", size, "bytes of a request body"),
    Limit("--max-headers", "http", "header_bytes", size, "bytes of the headers of a request"),
)
STOP = (
    Limit("--drain", "", "drain", duration, "over which a stop spreads the closing of WebSockets (1012)"),
    Limit("--drain-http", "", "drain_http", duration, "for requests that have begun, at a stop"),
)
LIMITS = TIMES + COUNTS + STOP
_METAVARS: dict[Callable[[str], Any], str] = {seconds: "SECONDS", duration: "SECONDS", count: "N", size: "SIZE"}


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that `fairway serve` takes."""
    where = parser.add_argument_group("where it listens")
    where.add_argument(
        "-b",
        "--bind",
        action="append",
        type=bind,
        metavar="ADDRESS",
        help="HOST:PORT, unix:PATH or fd:N; may be repeated (default: the sockets that systemd hands over, "
        f"else {DEFAULT_BINDS[0]})",
    )
    where.add_argument(
        "--processes", type=positive, default=1, metavar="N", help="server processes that share the sockets (1)"
    )
    where.add_argument("--root-path", type=mount, default="", metavar="PATH", help="where the project is mounted")
    where.add_argument(
        "--proxy",
        action="append",
        type=proxy,
        metavar="ADDRESS",
        help="a proxy whose X-Forwarded-For, -Proto and -Host are believed: an address, a network or unix; "
        "may be repeated (default: nobody)",
    )
    where.add_argument(
        "--trusted-origin",
        action="append",
        type=origin,
        metavar="ORIGIN",
        help="an origin whose pages may open WebSockets here, as in CSRF_TRUSTED_ORIGINS; may be repeated",
    )
    layer = parser.add_argument_group("layer")
    layer.add_argument(
        "--layer",
        type=layer_url,
        default=os.environ.get(LAYER_VARIABLE) or None,
        metavar="URL",
        help="local:///path.sock?mode=0660&group=www-data, where local:// is the project's own socket; "
        "local://…?upstream=redis://… joins this host's hub with others; redis://host:6379/0?prefix=mysite "
        f"(default: the environment variable {LAYER_VARIABLE}, where a password is no argument that all can read, "
        "else local://)",
    )
    layer.add_argument(
        "--capacity",
        action="append",
        type=pattern,
        metavar="CHANNEL=N",
        help="messages that may wait in channels of that name or pattern; may be repeated",
    )
    layer.add_argument(
        "--expiry",
        action="append",
        type=pattern,
        metavar="CHANNEL=S",
        help="seconds after which a message there is dropped if nobody has begun it; may be repeated",
    )
    default = BrokerLimits().total >> 20
    layer.add_argument(
        "--layer-memory", type=size, metavar="SIZE", help=f"bytes of all messages that a local layer holds ({default}M)"
    )
    _add_hub_options(parser.add_argument_group("workers on other hosts"))
    _add_limits(parser.add_argument_group("times, in seconds; -1 is no limit"), TIMES)
    _add_limits(parser.add_argument_group("limits; -1 is none, sizes take k, M and G"), COUNTS)
    stop = parser.add_argument_group("stopping")
    _add_limits(stop, STOP)
    stop.add_argument(
        "--drain-layer",
        type=duration,
        default=DRAIN_LAYER,
        metavar="SECONDS",
        help=f"for workers to consume what only this server's hub has ({DRAIN_LAYER:g})",
    )
    logs = parser.add_argument_group("what it tells")
    logs.add_argument("--access-log", default="off", metavar="FILE", help="a file, - for standard output, or off (off)")
    logs.add_argument("--access-log-format", choices=["common", "json"], default="common", help="(common)")
    logs.add_argument(
        "--admin-bind",
        type=tcp_or_unix,
        metavar="ADDRESS",
        help="answer /healthz, /status (JSON) and /metrics at HOST:PORT or unix:PATH; keep it from the public (off)",
    )
    logs.add_argument("--log-level", choices=LEVELS, default="info", help="(info)")


def _add_hub_options(group: Any) -> None:
    group.add_argument(
        "--hub-bind",
        action="append",
        metavar="HOST:PORT",
        help="open a local layer to workers on other hosts, as tcp+tls://HOST:PORT there; may be repeated (off)",
    )
    group.add_argument(
        "--hub-certificate", metavar="FILE", help="PEM, read again when it changes; only loopback can do without"
    )
    group.add_argument("--hub-key", metavar="FILE", help="PEM, without a password (in the certificate's file)")
    group.add_argument(
        "--hub-secret-file",
        metavar="FILE",
        help="the secret that those workers share with this hub, in one line; two lines while one replaces the other "
        "(default: the environment variable FAIRWAY_HUB_SECRET)",
    )


def add_child_options(parser: argparse.ArgumentParser) -> None:
    """Add what only our own supervisors say to a server that they start; no help shows it."""
    parser.add_argument("--listen-on", action="append", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--control", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="server", help=argparse.SUPPRESS)


def server_parser() -> argparse.ArgumentParser:
    """Return a parser of what `fairway serve` takes."""
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    add_child_options(parser)
    return parser


def _add_limits(group: Any, limits: Sequence[Limit]) -> None:
    for limit in limits:
        default = limit.default()
        shown = "no limit" if default == UNLIMITED else _short(default) if limit.read is size else f"{default:g}"
        group.add_argument(
            limit.flag, type=limit.read, metavar=_METAVARS[limit.read], help=f"{limit.help} ({shown})", default=None
        )


def _short(number: int) -> str:
    return f"{number >> 20}M" if number % 1024**2 == 0 else f"{number >> 10}k"


def server_limits(given: argparse.Namespace) -> ServerLimits:
    """Return the limits that a server's options ask for."""
    limits = ServerLimits()
    for limit in LIMITS:
        value = getattr(given, limit.dest)
        if value is None:
            continue
        if limit.record:
            part = replace(getattr(limits, limit.record), **{limit.name: value})
            limits = replace(limits, **{limit.record: part})
        else:
            limits = replace(limits, **{limit.name: value})
    return limits


def arguments(parser: argparse.ArgumentParser, given: argparse.Namespace, leave_out: Iterable[str] = ()) -> list[str]:
    """Return the command line that means the same: what differs from the defaults of `parser`.

    Parameters:
        parser: what is to read the command line.
        given: what was read before, perhaps by another parser with more options.
        leave_out: names of options that shall keep their defaults.
    """
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001  argparse has no public way to list its options
        flag = action.option_strings[-1] if action.option_strings else ""
        value = getattr(given, action.dest, action.default)
        if not flag or value == action.default or action.dest in leave_out:
            continue
        found += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return found
