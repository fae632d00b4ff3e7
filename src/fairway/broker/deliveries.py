"""Handing out: which session gets which message, and what becomes of what a lost session held.

**Demand** is how many more deliveries a session would take right now: one for each idle thread, and what its window
allows ahead. Deliveries are handed out only on demand: to the sessions with an idle thread in turn, then to the one
that holds the least ahead, and from each session's channels in turn. While anybody idle reads a channel, its mailbox is
empty, unless memory is short.
"""

from collections.abc import Collection, Sequence
from itertools import count

from fairway.broker.effects import Abandoned, Deliver, Delivery, Envelope, Mislaid, Policy, Settled, Signal
from fairway.broker.mailbox import Letter, Mailbox
from fairway.broker.owners import Owners
from fairway.broker.post import Post, queue_name
from fairway.broker.sessions import Session, Sessions
from fairway.broker.wills import DISCONNECT
from fairway.limits import BrokerLimits
from fairway.names import check_readable


class Deliveries:
    """The half of a broker that sessions see."""

    def __init__(self, limits: BrokerLimits | None = None) -> None:
        self.limits = limits or BrokerLimits()
        self.signals: list[Signal] = []
        self.post = Post(self.limits)
        self._numbers = count(1)
        self.owners = Owners(self.limits, self.post, self.signals, self._numbers)
        self.sessions = Sessions()
        self._last_words: dict[str, Letter] = {}
        """Reply channel -> the last message of a connection whose owner has died: it waits for the one before it."""
        self.delivered = 0
        self.due: float | None = None
        """When `tick` has something to do; None when nothing waits for time to pass."""

    def take_signals(self) -> list[Signal]:
        """End a command: return what it asks of the shell, and forget it."""
        if self.post.starved and self.post.has_memory:
            self._feed()
        signals = self.signals[:]
        self.signals.clear()
        return signals

    def open_session(self, channels: Collection[str], reserve: int = 0) -> int:
        """Open a session that reads `channels`, without demand yet; return its number.

        `reserve` is how much of its demand is window only, with no thread behind it.

        Raises:
            InvalidName: a channel that cannot be read.
        """
        names = tuple(dict.fromkeys(map(check_readable, channels)))
        session = Session(next(self._numbers), names, [self.post.pin(name) for name in names], reserve)
        self.sessions.open(session)
        return session.id

    def demand(self, session_id: int, more: int, now: float) -> None:
        """Change by `more` (negative takes back) how many deliveries the session would take right now."""
        session = self.sessions.get(session_id)
        if session:
            self._demand(session, more, now)

    def _demand(self, session: Session, more: int, now: float) -> None:
        demand = session.demand + more
        session.demand = max(0, demand)  # taking back what was delivered meanwhile takes back nothing
        while session.demand and not session.paused:
            box = session.next_box()
            if box is None:
                return
            letter = box.take()
            if box.waiting:
                self._admit(box)
            if self.post.drop_expired(letter, now):
                self._tell_abandoned(letter[0], "expired")
            else:
                self._lease(session, letter)

    def release(self, session_id: int, *receipts: int) -> None:
        """Put deliveries that were not begun back to the front, in this order, their attempts unchanged.

        Nothing happens for one that the session does not hold.
        """
        session = self.sessions.get(session_id)
        if session:
            found = [session.leases.pop(receipt, None) for receipt in receipts]
            self._put_back([(delivery.envelope, delivery.body) for delivery in found if delivery])

    def pause(self, session_id: int) -> None:
        """Hand nothing more to the session. It still commits what it holds."""
        self.sessions.pause(session_id)

    def close_session(self, session_id: int, now: float) -> None:
        """End a session. What it held is delivered again, or becomes a dead letter, or is lost, by its policy."""
        session = self.sessions.close(session_id)
        if session is None:
            return
        back = []
        for delivery in session.leases.values():
            if self._may_run_again(delivery, now):
                envelope = delivery.envelope
                again = envelope.for_another_run(attempt=envelope.attempt + 1, retries=envelope.retries)
                back.append((again, delivery.body))
        self._put_back(back)
        for name in session.channels:
            if self.post.unpin(name) and name.endswith("!"):
                self._abolish(name)

    def _abolish(self, name: str) -> None:
        """The process that owned `name` is gone: nobody else will ever read what was sent to it."""
        letters, waiting = self.post.abolish(name)
        for envelope, _ in letters:
            self._abandon(envelope, "lost")
        self.signals += [Settled(sender.token, "") for sender in waiting if sender.token]
        self.owners.directory.forget_below(name)
        self.owners.tell_all_gone(name)

    def _lease(self, session: Session, letter: Letter) -> None:
        delivery = Delivery(letter[0], letter[1], next(self._numbers))
        session.leases[delivery.receipt] = delivery
        session.demand -= 1
        self.delivered += 1
        self.signals.append(Deliver(session.id, delivery))

    def _may_run_again(self, delivery: Delivery, now: float) -> bool:
        """Decide about a delivery whose session is gone; what may not run again is told to its connection."""
        envelope = delivery.envelope
        if envelope.policy is Policy.ONCE:
            self.post.held -= len(delivery.body)
            self._abandon(envelope, "lost")
            return False
        if envelope.attempt >= self.post.rule(queue_name(envelope.channel)).attempts:
            self._bury((envelope, delivery.body), "attempts", now)
            return False
        return True

    def _put_back(self, letters: Sequence[Letter]) -> None:
        """Return messages to the front of their mailboxes, the first of them foremost, and hand them out again."""
        names: dict[str, None] = {}
        for letter in reversed(letters):
            name = queue_name(letter[0].channel)
            if self.post.is_gone(name):
                self.post.held -= len(letter[1])
                self._abandon(letter[0], "lost")
                continue
            box = self.post.box(name)
            box.put_back(letter)
            self._note_due(box.sweep)
            names[name] = None
        for name in names:
            self._hand_out(name)

    def _hand_out(self, name: str) -> None:
        """Give what is in a mailbox to idle readers, if there are any."""
        box = self.post.box(name)
        while box.letters:
            session = self.sessions.idle_reader(name)
            if session is None:
                return
            self._lease(session, box.take())
            if box.waiting:
                self._admit(box)

    def _note_due(self, due: float | None) -> None:
        if due is not None and (self.due is None or due < self.due):
            self.due = due

    def _admit(self, box: Mailbox) -> None:
        self.signals += [Settled(waiting.token, "") for waiting in self.post.admit(box) if waiting.token]
        self._note_due(box.sweep)

    def _feed(self) -> None:
        """Memory has come free: let in what waited for nothing else."""
        self.post.starved = False
        for name, box in self.post.boxes().items():
            if box.waiting:
                self._admit(box)
                self._hand_out(name)
        self.owners.admit_all()

    def _bury(self, letter: Letter, reason: str, now: float) -> None:
        self.post.held -= len(letter[1])
        self.post.dead.bury(letter, reason, now)
        self._abandon(letter[0], reason)

    def _abandon(self, envelope: Envelope, reason: str) -> None:
        self.signals.append(Mislaid(envelope, reason))
        self._tell_abandoned(envelope, reason)

    def _tell_abandoned(self, envelope: Envelope, reason: str) -> None:
        inbox = self.owners.of(envelope.reply_channel) if envelope.order >= 0 else None
        if inbox:
            self.owners.tell(inbox, Abandoned(envelope.reply_channel, envelope.order, reason, envelope.attempt))
            if reason == "expired":
                inbox.wills.pop(envelope.reply_channel, None)  # no consumer saw the connect, so none is told of the end
        elif reason == "expired":
            self._last_words.pop(envelope.reply_channel, None)
        elif self._last_words:
            self._speak(envelope.reply_channel)

    def _speak(self, channel: str) -> None:
        """Send the last message of a connection whose owner has died, now that nothing else of it is under way."""
        letter = self._last_words.pop(channel, None)
        if letter:
            self.post.held += len(letter[1])
            self.post.box(DISCONNECT).put(letter)
            self._hand_out(DISCONNECT)
