"""What is measured: the shapes of load, as data.

A shape names a family (one set of running servers serves a family), a kind of load, how many sockets take part and
what they carry. Durations are per contender and round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

Family = Literal[
    "fanout",
    "echo",
    "rohrpost",
    "rate",
    "http",
    "http-default",
    "memory",
    "crowd",
    "message",
    "delay",
    "servers-1",
    "servers-2",
    "servers-4",
]
FAMILIES: tuple[Family, ...] = get_args(Family)

# Who takes part, by the keys of the contenders.
SOCKETS = ("floor", "fairway", "fairway-hub", "uvicorn", "daphne")
HOSTS = (*SOCKETS, "fairway-joined", "fairway-redis")
ECHOES = (*HOSTS, "view-hub", "aview-hub")
LAYERS = ("layer-fairway", "layer-core", "layer-pubsub")
SPREAD = ("fairway-joined", "fairway-redis", "uvicorn", "uvicorn-core")
DJANGO = ("fairway", "fairway-hub", "uvicorn", "daphne")
VIEWS = ("fairway-hub", "gunicorn", "granian", "uvicorn", "daphne")
CROWD = ("floor", "fairway-hub")
REQUESTS = ("json-hub", "json-user-hub", "rohrpost-hub", "rohrpost-user-hub")
DELAY = ("delay-sqlite", "delay-postgres")

# More than a deflate window (32 KiB) holds of the 4 KiB messages, so that a compressor with context takeover does not
# find the message of the turn before.
VARIANTS = 64

SMALL, LARGE = 100, 4096
KIB, MIB = 1024, 1024 * 1024
HUGE, TOO_LARGE = 10 * MIB, 16 * MIB  # Of messages through the layer: one that passes, and one above the limit.

SERVERS = "BENCH_SERVERS"  # How many servers there shall be; it is in the environment of what is started.
VIEW_BODY = b"ok"  # What the view says.
HOLD_SOCKET = "hold.sock"  # Where a worker that holds a message says so.
LATER_SOCKET = "later.sock"  # Where a worker says what has come that was sent for later.
LATER_CHANNEL = "bench.later"
DELAY_SERVER, DATABASE = "delay server", "database"  # What processes of the family "delay" are called.
CONSUMER = "BENCH_CONSUMER"  # Which consumer takes the requests of the family "rohrpost".
URLS = "BENCH_URLS"  # The URLconf, where views own the sockets.
POSTGRES = "BENCH_POSTGRES"  # The folder of a PostgreSQL; without it the database is an SQLite.
SLOW_SECONDS = 0.2  # What the slow consumer takes for a message; the floor and the Django projects read it here.


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One row of the result: a load that every contender gets in the same way.

    `in_flight` counts messages under way, never two of them in one group: two frames for one socket in one turn of a
    loop leave in one system call, for some contenders and in some rounds, and then the result is how often that
    happened.
    """

    key: str
    title: str
    family: Family
    path: str
    sockets: int
    seconds: float
    contenders: tuple[str, ...] = SOCKETS
    size: int = SMALL
    groups: int = 1
    in_flight: int = 1
    deflate: bool = False
    json: bool = False
    requests: bool = False  # What is sent are requests of rohrpost.
    messages: int = 0  # Of messages for later: how many there are in a slice.
    slow_sockets: int = 0
    slow_path: str = "/slow/"
    refuses: bool = False  # A message above the limit is tried, too.

    @property
    def unit(self) -> str:
        """What one unit of the load is called in tables."""
        return _UNITS[self.family]

    @property
    def on_all_cores(self) -> bool:
        """Whether servers and client share all cores, and the client sleeps when it has nothing to do."""
        return self.family in ON_ALL_CORES

    @property
    def slices(self) -> int:
        """Into how many slices a round is cut; the contenders take turns slice by slice. wrk knows whole seconds."""
        if self.family in HTTP:
            return max(1, int(self.seconds))
        return 5 if self.seconds else 3

    def quick(self) -> Shape:
        """Return a short form of this shape: the same load for a shorter time, and fewer idle sockets."""
        sockets = min(self.sockets, _QUICK_SOCKETS.get(self.family, self.sockets))
        title = self.title.replace(f"{self.sockets:,}", f"{sockets:,}")
        seconds = self.seconds if self.family == "delay" else min(self.seconds, 0.6)
        return replace(self, title=title, seconds=seconds, sockets=sockets)


HTTP: tuple[Family, ...] = ("http", "http-default")
ON_ALL_CORES: tuple[Family, ...] = ("rate", "delay")
_UNITS: dict[Family, str] = {
    "fanout": "delivery",
    "echo": "echo",
    "rohrpost": "answer",
    "rate": "echo",
    "http": "request",
    "http-default": "request",
    "memory": "connection",
    "crowd": "delivery",
    "message": "message",
    "delay": "message",
    "servers-1": "delivery",
    "servers-2": "delivery",
    "servers-4": "delivery",
}
_QUICK_SOCKETS: dict[Family, int] = {"memory": 500, "crowd": 2000}


def servers(family: Family) -> int:
    """Return how many servers a contender has in a family."""
    return int(family.removeprefix("servers-")) if family.startswith("servers-") else 1


def environment(family: Family) -> dict[str, str]:
    """Return what the servers of a family have in their environment; the settings of the projects read it."""
    middleware = {"BENCH_MIDDLEWARE": "default"} if family == "http-default" else {}
    return {SERVERS: str(servers(family)), **middleware}


def _through_layer(name: str, text: str, size: int) -> Shape:
    return Shape(
        key=f"message-{name}",
        title=f"message through the layer: {text}",
        family="message",
        path="",
        sockets=0,
        size=size,
        seconds=1.5,
        contenders=LAYERS if size < HUGE else LAYERS[:1],
        refuses=size == HUGE,
    )


def _group_send(family: Family, members: int, size: int = SMALL) -> Shape:
    count = servers(family)
    return Shape(
        key=f"group-{members}-on-{count}{'-4k' if size == LARGE else ''}",
        title=f"group send: {members:,} members on {count} server{'s' if count > 1 else ''}, "
        + ("4 KiB" if size == LARGE else f"{size} B"),
        family=family,
        path="/fanout/{group}/",
        sockets=members,
        size=size,
        seconds=1.0,
        # One client may not have open what four times 5,000 sockets take.
        contenders=SPREAD if members < 5000 else SPREAD[:3],
    )


SHAPES: tuple[Shape, ...] = (
    Shape(
        key="fanout-100",
        title="fan-out: 1 group of 1,000, 100 B",
        family="fanout",
        path="/fanout/{group}/",
        sockets=1000,
        seconds=1.5,
    ),
    Shape(
        key="fanout-4k",
        title="fan-out: 1 group of 1,000, 4 KiB",
        family="fanout",
        path="/fanout/{group}/",
        sockets=1000,
        size=LARGE,
        seconds=1.5,
    ),
    Shape(
        key="fanout-groups",
        title="fan-out: 100 groups of 10, 100 B",
        family="fanout",
        path="/fanout/{group}/",
        sockets=1000,
        groups=100,
        in_flight=8,
        seconds=1.5,
    ),
    Shape(
        key="fanout-deflate",
        title="fan-out: 1 group of 1,000, 4 KiB, deflate offered",
        family="fanout",
        path="/fanout/{group}/",
        sockets=1000,
        size=LARGE,
        deflate=True,
        seconds=1.5,
    ),
    Shape(
        key="echo-1",
        title="echo: 1 socket, function, 100 B",
        family="echo",
        path="/echo/",
        sockets=1,
        seconds=1.5,
        contenders=ECHOES,
    ),
    Shape(
        key="echo-100",
        title="echo: 100 sockets, function, 100 B",
        family="echo",
        path="/echo/",
        sockets=100,
        seconds=2.0,
        contenders=ECHOES,
    ),
    Shape(
        key="echo-user-100",
        title="echo: 100 sockets, JSON class, session user",
        family="echo",
        path="/names/",
        sockets=100,
        json=True,
        contenders=DJANGO,
        seconds=2.0,
    ),
    Shape(
        key="echo-json-1",
        title="echo: 1 socket, JSON class, session user, one query",
        family="echo",
        path="/notes/",
        sockets=1,
        json=True,
        contenders=DJANGO,
        seconds=1.5,
    ),
    Shape(
        key="echo-json-100",
        title="echo: 100 sockets, JSON class, session user, one query",
        family="echo",
        path="/notes/",
        sockets=100,
        json=True,
        contenders=DJANGO,
        seconds=2.0,
    ),
    Shape(
        key="echo-slow",
        title="echo: 100 sockets, 1 of them on a 200 ms consumer (latency of the other 99)",
        family="echo",
        path="/echo/",
        sockets=100,
        slow_sockets=1,
        seconds=2.5,
    ),
    Shape(
        key="rohrpost-100",
        title="rohrpost: 100 sockets, ping, 100 B",
        family="rohrpost",
        path="/requests/",
        sockets=100,
        requests=True,
        contenders=REQUESTS,
        seconds=2.5,
    ),
    Shape(
        key="rate-100",
        title="echo on all cores: 100 sockets, function, 100 B",
        family="rate",
        path="/echo/",
        sockets=100,
        seconds=2.0,
        contenders=ECHOES,
    ),
    Shape(
        key="rate-user-100",
        title="echo on all cores: 100 sockets, JSON class, session user",
        family="rate",
        path="/names/",
        sockets=100,
        json=True,
        contenders=DJANGO,
        seconds=2.0,
    ),
    Shape(
        key="rate-slow",
        title="echo on all cores: 100 sockets, 1 of them on a 200 ms consumer (latency of the other 99)",
        family="rate",
        path="/echo/",
        sockets=100,
        slow_sockets=1,
        seconds=2.0,
        contenders=DJANGO,
    ),
    Shape(
        key="http",
        title="HTTP: a view that says ok, no middleware, 64 connections kept alive",
        family="http",
        path="/ok/",
        sockets=64,
        seconds=2.0,
        contenders=VIEWS,
    ),
    Shape(
        key="http-default",
        title="HTTP: the same view behind Django's default middleware",
        family="http-default",
        path="/ok/",
        sockets=64,
        seconds=2.0,
        contenders=VIEWS,
    ),
    Shape(
        key="memory-plain",
        title="idle memory: 2,000 sockets in one group",
        family="memory",
        path="/fanout/{group}/",
        sockets=2000,
        seconds=0,
    ),
    Shape(
        key="memory-deflate",
        title="idle memory: 2,000 sockets in one group, deflate offered",
        family="memory",
        path="/fanout/{group}/",
        sockets=2000,
        deflate=True,
        seconds=0,
    ),
    Shape(
        key="memory-crowd",
        title="idle memory: 15,000 sockets in one group",
        family="memory",
        path="/fanout/{group}/",
        sockets=15_000,
        seconds=0,
        contenders=CROWD,
    ),
    Shape(
        key="fanout-crowd",
        title="fan-out: 1 group of 15,000, 100 B",
        family="crowd",
        path="/fanout/{group}/",
        sockets=15_000,
        seconds=3.0,
        contenders=CROWD,
    ),
    _through_layer("100", "100 B", 100),
    _through_layer("1k", "1 KiB", KIB),
    _through_layer("64k", "64 KiB", 64 * KIB),
    _through_layer("10m", "10 MiB", HUGE),
    Shape(
        key="delay-late",
        title="messages for later: how late 100 a second are",
        family="delay",
        path="",
        sockets=0,
        messages=60,
        contenders=DELAY,
        seconds=3.0,
    ),
    Shape(
        key="delay-rate",
        title="messages for later: 1,000 scheduled one after the other, which are then due at once",
        family="delay",
        path="",
        sockets=0,
        messages=1000,
        contenders=DELAY,
        seconds=0,
    ),
    _group_send("servers-1", 1000),
    _group_send("servers-2", 100),
    _group_send("servers-2", 1000),
    _group_send("servers-2", 1000, LARGE),
    _group_send("servers-2", 5000),
    _group_send("servers-4", 1000),
)


def paths(shape: Shape) -> list[str]:
    """Return what the sockets of a shape ask for; the slow ones are the last."""
    fast = shape.sockets - shape.slow_sockets
    return [shape.path.format(group=f"g{index % shape.groups}") for index in range(fast)] + [
        shape.slow_path
    ] * shape.slow_sockets
