"""The deliveries that a joined broker has fetched from the upstream, and the sessions that they were fetched for.

Each session here has a reader of its own at the upstream. A delivery that came through it is leased to that session at
once, and never waits in a mailbox. Its end is the upstream's business: the commit goes there with all its effects, and
when the session ends, so does its reader there. So attempts, dead letters and `once` are counted in one place.
"""

from collections.abc import Collection, Sequence

from fairway.broker.abroad import JoinedOwners
from fairway.broker.core import Broker
from fairway.broker.effects import Deliver, Delivery, Effect, End, Send
from fairway.broker.outward import (
    Answering,
    Committed,
    GivenBack,
    Hungry,
    SessionCame,
    SessionLeft,
    SessionPaused,
)
from fairway.broker.sessions import Session
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.limits import BrokerLimits

AWAY = "no process of this host reads it, and the upstream, which knows of others, cannot be reached"


class Guests(Broker):
    """The half of a joined broker that sessions see."""

    owners: JoinedOwners

    def __init__(self, epoch: str, limits: BrokerLimits | None = None) -> None:
        super().__init__(epoch, limits)
        self.owners = JoinedOwners(self.limits, self.post, self.signals, self._numbers)
        self.is_upstream_here = False
        """Whether the upstream can be reached; the shell keeps it up to date."""
        self._guests: dict[int, tuple[int, Delivery]] = {}
        """Receipt -> the session, and the upstream's delivery."""
        self._sated: set[int] = set()
        """The sessions whose next wish is to be told."""
        self._outside: dict[int, str] = {}
        """Token of a direct send that is at the upstream -> the id of its message."""

    @property
    def guest_bytes(self) -> int:
        """Bytes of the bodies that are leased here and held by the upstream as well."""
        return sum(len(delivery.body) for _, delivery in self._guests.values())

    # --- sessions ----------------------------------------------------------------------------------------------------

    def open_session(self, channels: Collection[str], reserve: int = 0) -> int:
        """Open a session; see `Deliveries.open_session`."""
        session_id = super().open_session(channels, reserve)
        names = self.sessions[session_id].channels
        self.signals.append(SessionCame(session_id, names))
        return session_id

    def pause(self, session_id: int) -> None:
        """Hand nothing more to the session; see `Deliveries.pause`."""
        super().pause(session_id)
        self.signals.append(SessionPaused(session_id))

    def close_session(self, session_id: int, now: float) -> None:
        """End a session. What it held of the upstream's ends there."""
        session = self.sessions.get(session_id)
        if session is None:
            return
        for receipt in tuple(session.leases):
            self._take_guest(session_id, receipt)
        self._sated.discard(session_id)
        super().close_session(session_id, now)
        self.signals.append(SessionLeft(session_id))

    def wants_more(self, session_id: int) -> bool:
        """Say whether an idle thread stands behind a session; if none does, `Hungry` will tell when there is one."""
        session = self.sessions.get(session_id)
        if session is None or session.paused:
            return False
        if session.demand > session.reserve:
            return True
        self._sated.add(session_id)
        return False

    def _demand(self, session: Session, more: int, now: float) -> None:
        # Micro-optimization, as in `commit`: each message comes through here.
        Broker._demand(self, session, more, now)  # noqa: SLF001  our own
        if self._sated and session.id in self._sated and session.demand > session.reserve and not session.paused:
            self._sated.discard(session.id)
            self.signals.append(Hungry(session.id))

    # --- deliveries of the upstream ----------------------------------------------------------------------------------

    def lodge(self, session_id: int, delivery: Delivery) -> bool:
        """Lease a delivery of the upstream to the session that it was fetched for, if that takes it still."""
        session = self.sessions.get(session_id)
        if session is None or session.paused or not session.demand:
            return False
        receipt = next(self._numbers)
        session.leases[receipt] = ours = Delivery(delivery.envelope, delivery.body, receipt)
        session.demand -= 1
        self._guests[receipt] = session_id, delivery
        self.post.held += len(delivery.body)
        self.delivered += 1
        self.signals.append(Deliver(session_id, ours))
        return True

    def _take_guest(self, session_id: int, receipt: int) -> Delivery | None:
        """Forget a lease; return the upstream's delivery, or None when it is no such lease."""
        holder, delivery = self._guests.get(receipt, (0, None))
        session = self.sessions.get(session_id)
        if delivery is None or session is None or holder != session_id or receipt not in session.leases:
            return None
        del self._guests[receipt], session.leases[receipt]
        self.post.held -= len(delivery.body)
        return delivery

    def commit(
        self, session_id: int, receipt: int, outbox: Sequence[Effect], ending: End, now: float, more: int = 0
    ) -> None:
        """Acknowledge a delivery and publish its outbox: here in one step, or at the upstream in one."""
        delivery = self._take_guest(session_id, receipt) if receipt in self._guests else None
        if delivery is None:
            Broker.commit(self, session_id, receipt, outbox, ending, now, more)
            return
        self.committed += 1
        self.signals.append(Committed(session_id, delivery, list(outbox), ending))
        if more:
            self._demand(self.sessions[session_id], more, now)

    def release(self, session_id: int, *receipts: int) -> None:
        """Put deliveries that were not begun back; see `Deliveries.release`."""
        if self._guests:
            given_back = [(receipt, self._take_guest(session_id, receipt)) for receipt in receipts]
            for _, delivery in reversed(given_back):
                if delivery:
                    self.signals.append(GivenBack(session_id, delivery))
            receipts = tuple(receipt for receipt, delivery in given_back if not delivery)
        super().release(session_id, *receipts)

    def publish_during(
        self, session_id: int, delivery: Delivery, effect: Effect, now: float, deadline: float | None = None
    ) -> int:
        """Publish one effect at once from inside a consumer run; see `Broker.publish_during`."""
        if not isinstance(effect, Send) or effect.channel != delivery.envelope.reply_channel:
            return self.publish(effect, now, deadline)
        holder, theirs = self._guests.get(delivery.receipt, (0, None))
        if theirs is None:
            is_of_connection = delivery.envelope.order >= 0  # then its owner is, or was, here
            session = self.sessions.get(session_id)
            is_held = session is not None and delivery.receipt in session.leases
            if is_held and not is_of_connection and self.owners.of(effect.channel) is None:
                return self.publish(effect, now, deadline)
            return super().publish_during(session_id, delivery, effect, now, deadline)
        if holder != session_id:
            raise DeliveryLost(f"receipt {delivery.receipt} is held by another session")
        if not self.is_upstream_here:
            raise LayerUnavailable(
                f"{effect.channel!r} cannot be answered: its message came from the upstream, which is away"
            )
        token = next(self._numbers)
        self._outside[token] = ""
        self.signals.append(Answering(session_id, theirs, effect, token, deadline or 0))
        return token

    def flush(self) -> None:
        """Drop all messages and groups; see `Broker.flush`."""
        super().flush()
        self._guests.clear()
