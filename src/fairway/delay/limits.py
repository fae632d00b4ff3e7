"""What a delay server may hold, and how long it waits for what. Sizes are bytes, times are seconds."""

from dataclasses import dataclass

from fairway.limits import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLimits:
    """The limits of one delay server."""

    batch: int = 500
    """Messages in one transaction, in and out: enough that a transaction costs little each, few enough that another
    server never waits for long."""

    batch_bytes: int = 16 * MIB
    """The same in bytes: a batch is held in memory. One message may be larger, and is a batch then."""

    batch_time: float = 10.0
    """After so long the rest of a batch is left for the next one: its rows may be locked meanwhile."""

    stall: float = 60.0
    """A transaction in which nothing happens for so long is that of a server that stands still or is gone; PostgreSQL
    ends it."""

    catch_up: float = 5.0
    """For so long at most a server that begins, or whose database or layer was away, only stores what has waited for
    it: it may take back what has become due meanwhile. After a short absence for as long as that has been."""

    catch_up_pause: float = 0.1
    """When nothing comes for so long, nothing more has waited."""

    look: float = 5.0
    """How often the table is asked for what others have put there; what this server stores it knows by itself."""

    longest_wait: float = 1.0
    """The longest wait without a look at the clock, which somebody may set. It costs no query."""

    others_pause: float = 0.2
    """What is due but held by another server is looked for again after this, in case that server has died."""

    full_pause: float = 1.0
    """A channel without room is left alone for so long."""

    full_channels: int = 10_000
    """Channels that are left alone at a time; beyond it the one that has been for longest is tried again. More than can
    be found full within a pause, or they would keep the others from being looked at; the names go into a query."""

    tombstone: float = 600.0
    """How long it is remembered that a message with a key was sent or cancelled, so that an older one, on its way
    through another server, does not take its place. As long as brokers remember ids."""

    late: float = 1.0
    """What leaves later than this after its time is reported."""

    report_every: float = 60.0
    """The shortest time between two reports of one kind."""

    first_pause: float = 0.1
    longest_pause: float = 2.0
    """While the database or the layer is away, it is tried again after a pause, ever longer."""

    grace: float = 10.0
    """How long a stop waits for what is under way; only a database that does not answer takes so long."""
