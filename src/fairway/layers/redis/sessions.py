"""One reader's sessions: one in each shard that holds some of its channels, all under one name.

Translates what a reader says to its broker (`wire.hub` frames) into commands for those shards. How many deliveries the
reader would take is told to each shard: what comes beyond that is given back like anything that nobody has begun.
"""

import itertools
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from fairway.broker.effects import Delivery
from fairway.layers.redis.commands import Command, Commands, Lease
from fairway.layers.redis.entries import delivery_of, place_of
from fairway.layers.redis.shards import ROOT
from fairway.names import owner_prefix
from fairway.wire.hub import Demand, Open, Release

ORPHANS = 1_000
"""Sessions of lost lines that are remembered; the oldest end by themselves, when they have given no sign for long."""


class _Seat:
    """The session in one shard."""

    __slots__ = ("asked", "kept", "last", "owed", "recalls", "void")

    def __init__(self, asked: int) -> None:
        self.asked = asked
        """Exact readers: deliveries that this shard was asked for, and has not sent."""
        self.last = b"0-0"
        """The entry that was read last."""
        self.recalls = 0
        """How many recalls have not been answered."""
        self.kept: list[tuple[Lease, Sequence[bytes]]] = []
        """What has come meanwhile: it may be recalled."""
        self.void: set[bytes] = set()
        """Entries that were recalled, and may arrive all the same."""
        self.owed = 0
        """Places in the window that deliveries which went back have left taken."""


class Sessions:
    """The sessions of one reader.

    Parameters:
        commands: of the layer.
        opening: what the reader reads, and how much of it at once.
    """

    def __init__(self, commands: Commands, opening: Open) -> None:
        self._commands = commands
        self.number = opening.reader
        self._channels = opening.channels
        self._is_exact = opening.window == 0
        self._demand = opening.window
        self._reserve = max(0, opening.window - opening.threads)
        self._receipts = itertools.count(1)
        self._lock = threading.Lock()
        self.is_paused = False
        self.name = ""
        self._seats: dict[str, _Seat] = {}
        self._orphans: dict[tuple[str, str], None] = {}
        """Shard and name of sessions of lost lines: they are read by nobody, and taken for living until they are closed
        or their time is over."""
        self._leases: dict[int, Lease] = {}
        self.begin()

    def begin(self) -> None:
        """Begin anew: with a new name, without any session, and holding nothing."""
        with self._lock:
            self._orphans.update(dict.fromkeys((shard, self.name) for shard in self._seats))
            self.name = secrets.token_hex(6)
            self._seats = {}
            self._leases = {}
            if self._is_exact:
                self._demand = 0

    @property
    def shards(self) -> list[str]:
        """The shards that have a session."""
        return list(self._seats)

    def home_shards(self) -> list[str]:
        """Return the shards in which there is one whatever servers there are."""
        own = [self._commands.shards.of_channel(channel) for channel in self._channels]
        return list(dict.fromkeys([ROOT, *own]))

    def open(self, shard: str) -> Command | None:
        """Return what opens the session in a shard; None where there is one."""
        with self._lock:
            if shard in self._seats:
                return None
            self._seats[shard] = _Seat(self._demand)
            demand = 0 if self.is_paused else self._demand
            return self._commands.open(shard, self.name, self._channels_in(shard), demand, self._reserve)

    def _channels_in(self, shard: str) -> list[str]:
        shards = self._commands.shards
        if shard.startswith("#"):
            return [name for name in self._channels if not owner_prefix(name) and shards.spread(name) == shard]
        return self._channels

    def stream(self, shard: str) -> str:
        """Return the key of the stream on which deliveries of a shard come."""
        return self._commands.shards.key(shard, f"s:{self.name}")

    def leave(self, shard: str) -> Command | None:
        """Return what ends the session in a shard."""
        with self._lock:
            if self._seats.pop(shard, None) is None:
                return None
        return self._commands.end(shard, self.name, "close")

    def orphans(self) -> list[tuple[Command, Callable[[], object]]]:
        """Return what closes the sessions of lost lines, each with what is to be called once it is closed."""
        with self._lock:
            while len(self._orphans) > ORPHANS:
                del self._orphans[next(iter(self._orphans))]
            return [
                (self._commands.end(shard, name, "close"), partial(self._orphans.pop, (shard, name), None))
                for shard, name in self._orphans
            ]

    def end(self, verb: str) -> list[Command]:
        """Return what pauses or closes all sessions."""
        self.is_paused = True
        return [self._commands.end(shard, self.name, verb) for shard in self.shards]

    def give_back_unread(self, shards: Sequence[str], held: Sequence[Sequence[bytes]]) -> list[Command]:
        """Return what gives back the deliveries that are still on their way to a session that is paused now.

        `held` is what each of the shards has answered to that.
        """
        commands = []
        with self._lock:
            for shard, entries in zip(shards, held, strict=True):
                last = self._seats[shard].last if shard in self._seats else b"0-0"
                late = [entry.decode() for entry in entries if place_of(entry) > place_of(last)]
                if late:
                    commands.append(self._commands.release(shard, self.name, late))
        return commands

    # --- deliveries --------------------------------------------------------------------------------------------------

    def deliver(self, lease: Lease, fields: Sequence[bytes]) -> Delivery | None:
        """Return the delivery of an entry, under a receipt of our own; None for one of a session that is over."""
        with self._lock:
            if lease.session != self.name:
                return None
            seat = self._seats.get(lease.shard)
            if seat:
                entry = lease.entry.encode()
                if entry in seat.void:
                    seat.void.discard(entry)
                    return None
                if seat.recalls:
                    seat.kept.append((lease, fields))
                    return None
                seat.last = entry
                if self._is_exact:
                    self._demand = max(0, self._demand - 1)
                    seat.asked = max(0, seat.asked - 1)
            receipt = next(self._receipts)
            self._leases[receipt] = lease
        return delivery_of(fields, receipt)

    def recalled(self, shard: str, name: str, entries: Sequence[bytes]) -> list[Delivery]:
        """Learn what a recall has taken back; return what came meanwhile and may be begun."""
        with self._lock:
            seat = self._seats.get(shard) if name == self.name else None
            if seat is None:
                return []
            seat.recalls -= 1
            seat.void.update(entry for entry in entries if place_of(entry) > place_of(seat.last))
            if seat.recalls:
                return []
            kept, seat.kept = seat.kept, []
        return [delivery for lease, fields in kept if (delivery := self.deliver(lease, fields))]

    def lease(self, receipt: int) -> Lease | None:
        """Return where a delivery is held."""
        return self._leases.get(receipt)

    def take_lease(self, receipt: int) -> Lease | None:
        """Do as `lease`, for the last time."""
        return self._leases.pop(receipt, None)

    @property
    def place_after_commit(self) -> int:
        """How many deliveries more a session takes once one is committed."""
        return 0 if self._is_exact else 1

    def demand(self, frame: Demand) -> list[Command]:
        """Tell the shards how many deliveries more the reader takes."""
        with self._lock:
            if self._is_exact:
                self._demand = max(0, self._demand + frame.more)
                return list(self._ask_exactly())
            if frame.ahead:
                self._demand += frame.more
                self._reserve += frame.ahead
                return [self._commands.demand(shard, self.name, frame.more, frame.ahead) for shard in self._seats]
            return list(self._free_places())

    def _ask_exactly(self) -> Iterable[Command]:
        for shard, seat in self._seats.items():
            more, seat.asked = self._demand - seat.asked, self._demand
            if more:
                yield self._commands.demand(shard, self.name, more)

    def _free_places(self) -> Iterable[Command]:
        for shard, seat in self._seats.items():
            more, seat.owed = seat.owed, 0
            if more:
                yield self._commands.demand(shard, self.name, more)

    def release(self, frame: Release) -> list[tuple[str, Command]]:
        """Give deliveries back, in their order; return shard and command. What comes from it waits for `recalled`."""
        entries: dict[str, list[str]] = {}
        with self._lock:
            for receipt in frame.receipts:
                lease = self._leases.pop(receipt, None)
                if lease and lease.session == self.name:
                    entries.setdefault(lease.shard, []).append(lease.entry)
            commands = []
            for shard, ones in entries.items():
                seat = self._seats.get(shard)
                if seat is None:
                    continue
                if not self._is_exact:
                    seat.owed += len(ones)
                seat.recalls += 1
                commands.append((shard, self._commands.recall(shard, self.name, seat.last.decode(), ones)))
        return commands
