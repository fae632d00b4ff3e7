"""A broker whose signals are sorted as they come, so that a test reads as commands and what followed."""

from collections import defaultdict
from typing import Any

from fairway.broker.core import Broker
from fairway.broker.effects import (
    Deliver,
    Delivery,
    Ending,
    Envelope,
    Mislaid,
    Outward,
    Policy,
    Send,
    Settled,
    Signal,
)
from fairway.broker.joined import JoinedBroker
from fairway.limits import BrokerLimits, ChannelRule


class Desk:
    """A broker, the deliveries of each session, and all other signals since the last look."""

    broker: Broker

    def __init__(self, *rules: tuple[str, ChannelRule], **limits: Any) -> None:
        if rules:
            limits["rules"] = (*rules, ("*", ChannelRule()))
        self.broker = self.make_broker(BrokerLimits(**limits))
        self.post = self.broker.post
        self.owners = self.broker.owners
        self.delivered: dict[int, list[Delivery]] = defaultdict(list)
        self.signals: list[Signal] = []

    def make_broker(self, limits: BrokerLimits) -> Broker:
        return Broker("e", limits)

    def do(self, command: Any, *args: Any) -> Any:
        try:
            return command(*args)
        finally:
            for signal in self.broker.take_signals():
                if isinstance(signal, Deliver):
                    self.delivered[signal.session].append(signal.delivery)
                else:
                    self.signals.append(signal)

    def taken(self) -> list[Signal]:
        signals, self.signals = self.signals, []
        return signals

    # --- commands ----------------------------------------------------------------------------------------------------

    def session(self, *channels: str, demand: int = 0) -> int:
        session = self.do(self.broker.open_session, channels)
        self.demand(session, demand)
        return session

    def demand(self, session: int, more: int = 1, now: float = 0) -> None:
        self.do(self.broker.demand, session, more, now)

    def take(self, session: int, now: float = 0) -> Delivery | None:
        """One delivery, as if a thread had asked for it; None when there is nothing."""
        before = len(self.delivered[session])
        self.demand(session, 1, now)
        if len(self.delivered[session]) > before:
            return self.delivered[session].pop()
        self.demand(session, -1, now)
        return None

    def bodies(self, session: int) -> list[bytes]:
        return [delivery.body for delivery in self.delivered[session]]

    def send(
        self, channel: str, body: bytes = b"x", now: float = 0, deadline: float | None = None, name: str = ""
    ) -> int:
        return self.do(self.broker.publish, Send(channel, body, id=name), now, deadline)

    def publish(self, effect: Any, now: float = 0) -> int:
        return self.do(self.broker.publish, effect, now)

    def commit(
        self, session: int, delivery: Delivery, *outbox: Any, ending: Ending = Ending.DONE, now: float = 0
    ) -> None:
        self.do(self.broker.commit, session, delivery.receipt, outbox, ending, now)

    def owner(self, *prefixes: str) -> int:
        return self.do(self.owners.open, prefixes or ("s1!",))

    def drain(self, owner: int) -> list[Any]:
        return self.do(self.owners.drain, owner)

    def submit(
        self, owner: int, channel: str = "w", order: int = 0, policy: Policy = Policy.AGAIN, body: bytes = b"x"
    ) -> None:
        envelope = Envelope(f"s1.{order}", channel, "s1!c1", order, policy=policy)
        self.do(self.broker.submit, owner, envelope, body, 0)

    def tick(self, now: float) -> None:
        self.do(self.broker.tick, now)

    # --- what followed -----------------------------------------------------------------------------------------------

    def settled(self) -> dict[int, str]:
        return {signal.token: signal.error for signal in self.taken() if isinstance(signal, Settled)}

    def mislaid(self) -> list[str]:
        return [signal.reason for signal in self.taken() if isinstance(signal, Mislaid)]


class JoinedDesk(Desk):
    """The same with a broker that is joined with others, whose upstream is there."""

    broker: JoinedBroker
    patience = 2.0

    def make_broker(self, limits: BrokerLimits) -> JoinedBroker:
        broker = JoinedBroker("e", limits, self.patience)
        broker.is_upstream_here = True
        return broker

    def outward(self) -> list[Outward]:
        """What the shell was asked to do at the upstream."""
        return [signal for signal in self.taken() if isinstance(signal, Outward)]

    def fetched(self, session: int, channel: str = "w", **fields: Any) -> tuple[Delivery, Delivery]:
        """A delivery of the upstream that a session takes; return the upstream's, and ours."""
        theirs = Delivery(Envelope("u.1", channel, **fields), b"body", 77)
        assert self.do(self.broker.lodge, session, theirs)
        return theirs, self.delivered[session][-1]
