"""Every size, count and time limit of Fairway, its default, and the reason for it.

Each record belongs to one room and is frozen: a room is given its limits when it is made. Sizes are bytes, times
are seconds, and `UNLIMITED` (-1) switches a time limit off. Records are changed with `dataclasses.replace`.
"""

from dataclasses import dataclass, field

UNLIMITED = -1
"""The one spelling of "no limit", for every time limit."""

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """What one message may be."""

    body: int = 8 * MIB
    """An encoded message. Larger payloads are cut into chunks by whoever sends them."""

    state: int = 64 * KIB
    """All connection state of one connection: it travels with every message, so it stays small."""

    outbox: int = 64 * MIB
    """All that one consumer run may send before it finishes: held in memory until the commit."""

    depth: int = 64
    """Nested lists and dicts: deeper ones are an attack or a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRule:
    """What holds for the channels that match one name pattern."""

    capacity: int = 10_000
    """Messages that may wait: enough for a burst, few enough to notice that nobody reads."""

    expiry: float = UNLIMITED
    """Seconds until a message that nobody has begun is dropped: only where the sender has given up by then.

    A single-reader channel is dropped as a whole, once its first message is so old and nobody reads it.
    """

    attempts: int = 5
    """Deliveries of one message before it becomes a dead letter."""

    begun_once: bool = False
    """The first immediate answer makes a message one that is never delivered again: a response is not begun twice."""


UNGATED = 1_000_000_000
"""The capacity of channels that the gate already bounds to one message a connection."""

DEFAULT_RULES: tuple[tuple[str, ChannelRule], ...] = (
    ("websocket.connect", ChannelRule(capacity=10_000, expiry=20)),
    ("websocket.*", ChannelRule(capacity=UNGATED)),
    ("http.request", ChannelRule(capacity=1_000, expiry=60, attempts=2, begun_once=True)),
    # Read at once or never: its request was refused, expired, or its consumer did not want the body.
    ("http.request.body?*", ChannelRule(capacity=UNGATED, expiry=300)),
    ("http.disconnect", ChannelRule(capacity=10_000, expiry=60)),
    # A delay server only stores them, so it is not their fault when it dies.
    ("asgi.delay", ChannelRule(attempts=20)),
    ("*", ChannelRule()),
)
"""Name pattern -> rule, first match wins; the last one matches everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """What one broker may hold."""

    total: int = 256 * MIB
    """All bodies that wait or are being consumed, and once more all that wait for room: the bound on its memory."""

    inbox: int = 64 * MIB
    """Bodies and states one server has not read yet; beyond it group sends to that server are dropped and counted, and
    adds, discards and questions are refused."""

    inbox_items: int = 100_000
    """The same in items: what has no body takes memory all the same."""

    unread_per_connection: int = MIB
    """Bodies for one connection that its server has not read yet; beyond it a direct send finds no room."""

    commit_wait: float = 2.0
    """How long an effect of a commit waits for room in a full channel before it becomes a dead letter."""

    wills: int = 100_000
    """Connections of one server whose end is told to the workers if the server dies: as many as it may have open."""

    dead_letters: int = 1_000
    """Dead letters kept; the oldest goes first, because the newest tells what is wrong now."""

    dead_letter_bytes: int = 16 * MIB
    """The same in bytes, bodies only."""

    repeat_memory: float = 600.0
    """How long the id of a message is remembered, so that a repeat is dropped."""

    repeat_count: int = 100_000
    """How many ids are remembered: a bound on the memory for `repeat_memory`."""

    requeues: int = 10
    """How often `ConsumeLater` may put one message back."""

    requeue_pause: float = 0.05
    """The first pause after `ConsumeLater`; it doubles each time."""

    rules: tuple[tuple[str, ChannelRule], ...] = DEFAULT_RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What an HTTP peer may do."""

    request_line: int = 16 * KIB
    """Method, target and version. Browsers and proxies stop at 8 KiB or earlier."""

    header_bytes: int = 64 * KIB
    """All header lines of a request, and again all trailer lines."""

    header_count: int = 128
    """Header lines of a request, and again trailer lines."""

    head_timeout: float = 10.0
    """From the first byte of a request to the end of its headers: a slow-header attack ends here."""

    keep_alive: float = 30.0
    """An idle connection between requests."""

    body_chunk: int = 256 * KIB
    """A request body travels whole up to this size, and beyond it as chunks of at most this size."""

    body_window: int = MIB
    """Body bytes that may travel ahead of the view that reads them."""

    body_total: int = UNLIMITED
    """A request body; Django's own settings bound what it keeps in memory."""

    body_timeout: float = 60.0
    """Between two reads of a request body from the client."""

    answer_timeout: float = 60.0
    """From the end of the request head to the response, and between two chunks of a response."""

    pipelined: int = 16
    """Requests that one connection may send ahead of their answers; then its socket is read no further."""

    high_water: int = 256 * KIB
    """Response bytes that wait for a slow client before the sender is made to wait."""

    stall: float = 30.0
    """A response of which the client takes nothing for so long is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    """What a WebSocket peer may do."""

    message: int = MIB
    """A whole message, inflated."""

    fragments: int = 1_024
    """Frames of one message: a million empty fragments weigh nothing and cost a million turns."""

    message_time: float = 60.0
    """From the first frame of a message to its last."""

    connect_timeout: float = 20.0
    """For the application to decide about a handshake; then 504."""

    ping_interval: float = 20.0
    """Idle time after which the server pings."""

    ping_timeout: float = 20.0
    """For the pong to arrive; then the connection is taken for dead."""

    lifetime: float = UNLIMITED
    """The longest life of a socket; closed with 1001 at its end."""

    read_ahead: int = 16
    """Messages of one connection that wait at the gate before its socket is read no further."""

    read_ahead_bytes: int = 256 * KIB
    """The same in bytes."""

    pinned_window: int = 32
    """Messages that a connection pinned to one process may have under way."""

    events: int = 100
    """Typed group messages that wait for one connection; one more closes it with 1013."""

    held: int = 16
    """Group frames held for a connection whose handshake is undecided; one more closes it with 1013."""

    held_for_joined: int = 1_000
    """Frames of groups that a running consumer has joined, held until it is done; one more closes with 1013."""

    unsent: int = MIB
    """A frame is refused, and the socket closed with 1013, when more than this was waiting before it."""

    stall: float = 20.0
    """The same when nothing drained for so long."""

    high_water: int = 256 * KIB
    """Bytes that wait for a slow reader before a direct `send` is made to wait."""

    close_timeout: float = 5.0
    """For the peer's half of the closing handshake; then the transport is cut."""

    compress_from: int = KIB
    """Smaller messages travel uncompressed: deflate costs more than it saves on them."""

    window_bits: int = 15
    """One deflate window for all, so that a group frame has at most two forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How fast a peer may go. Each pair is a steady rate a second and a burst."""

    messages: float = UNLIMITED
    """WebSocket messages a second from one connection; beyond the burst it is closed with 1008. Off unless set: the
    gate already slows a client to the pace of its consumers, and only the application knows what is too much."""

    messages_burst: int = 200
    """Messages that may come at once: a client that catches up after a pause is no attacker."""

    connects: float = UNLIMITED
    """New connections a second from one address. Off unless set: many users may share one address. Behind a named proxy
    it counts the WebSockets of the proxy's client, and is answered 429; so does `connections_per_address`."""

    connects_burst: int = 200

    connections_per_address: int = UNLIMITED
    """Open connections from one address. Off unless set, for the same reason."""

    connections: int = 100_000
    """Open connections of one server; beyond it new ones are closed at once. Fewer where the process may not have so
    many descriptors: the last twentieth of them, and 64 at least, are not for connections."""

    addresses: int = 100_000
    """Addresses whose rate is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """All limits of an interface server."""

    http: HttpLimits = field(default_factory=HttpLimits)
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)
    rates: RateLimits = field(default_factory=RateLimits)

    drain: float = 5.0
    """A graceful stop spreads the closing of its sockets over this time, so that clients come back in a trickle."""

    drain_http: float = 30.0
    """A graceful stop waits so long for HTTP exchanges that have begun, and for sockets to answer their close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What one worker process may hold and wait for."""

    window: int = 8
    """Deliveries that a session may hold for each of its threads."""

    coroutines: int = 100
    """Coroutine consumers that run at the same time."""

    coroutines_waiting: int = 100
    """Coroutine consumers that wait for one of those places, a second at most; then another worker may have them."""

    grace: float = 30.0
    """What runs when a worker is told to stop may take so long to finish."""

    time_limit: float = UNLIMITED
    """One consumer run. Off unless set: only the application knows what takes how long."""

    max_messages: int = UNLIMITED
    """Messages until a worker process makes room for a fresh one; up to a tenth more, so that not all go at once."""

    max_memory: int = UNLIMITED
    """Resident bytes until a worker process makes room for a fresh one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLimits:
    """What the views of one worker process that own a WebSocket may hold and wait for."""

    threads: int = 100
    """Blocking views that run at the same time, each with a thread for as long as its socket lives; one more is
    answered with 503. Each may hold a database connection, so not many more."""

    coroutines: int = 10_000
    """The same for coroutine views, which share one event loop."""

    helpers: int = 16
    """Threads that run the blocking code (middleware, the ORM) of all coroutine views."""

    unread: int = 32
    """Messages of one socket that wait for its view: what the server sends ahead (`WebSocketLimits.pinned_window`)."""

    send: float = 20.0
    """A `send` waits so long for a client that does not read; then it raises `ChannelFull`. The server closes such a
    socket after the same time."""

    end: float = 60.0
    """The close frame of a view that has ended waits so long behind what its client has not read yet."""

    answer: int = MIB
    """The body of an HTTP response in place of the handshake: an error page, not a download."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What a client (`fairway.client`) waits for and holds."""

    timeout: float = 10.0
    """From the call to the answer of a request, if the call does not say otherwise."""

    connect_timeout: float = 30.0
    """A handshake, with the asking for a token; above the 20 s that the server gives the application."""

    heartbeat: float = 30.0
    """After so much silence the client asks whether the server is there, and waits as long again."""

    max_queue: int = 1_000
    """Requests that wait while there is no connection; one more raises `QueueFull`."""

    max_in_flight: int = 100_000
    """Requests that wait for their answers or to be sent; one more raises `QueueFull`."""

    max_unsent: int = 64 * MIB
    """Bytes that wait to be sent; a request beyond that raises `QueueFull`."""

    max_message: int = 1_048_000
    """Bytes of a request's data; just below the message that the server takes."""

    max_received: int = 8 * MIB
    """A message from the server, inflated; a larger one costs the connection. As much as a message may hold."""

    max_feed: int = 1_000
    """Pushes, messages or payloads that wait to be taken; beyond that the feed's `Overflow` decides."""

    max_feed_bytes: int = 64 * MIB
    """The same in bytes."""
