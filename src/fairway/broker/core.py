"""The broker: commands in, signals out, `now` passed in, and nothing else.

It knows queues, leases, groups and inboxes. It does no I/O, holds no lock and reads no clock; a shell around it does
(`layers.memory` in one process, the hub behind a socket). It never looks into a body.

The life of a message on a normal channel::

               publish                demand                  commit
    (sender) ──────────▶  mailbox  ──────────▶  lease  ──────────────────▶ (gone, its effects published)
                             ▲                    │ release: attempt unchanged
                             ├────────────────────┤ session closed: attempt + 1, or dead letter, or lost (ONCE)
                             └───── later ◀───────┘ commit with Ending.LATER: after a pause

**Demand** is how many more deliveries a session would take right now: one for each idle thread, and what its window
allows ahead. The broker hands out only on demand, idle sessions first, and from each session's channels in turn.

Every command leaves what the shell must do in `signals`; the shell takes them with `take_signals`.
"""

from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

from fairway.broker.effects import (
    Abandoned,
    Answered,
    Credit,
    Deliver,
    Delivery,
    Done,
    Effect,
    Ending,
    Envelope,
    GroupFrame,
    GroupSend,
    Mislaid,
    Policy,
    Refused,
    SaveState,
    Send,
    Settled,
    Signal,
    State,
)
from fairway.broker.inbox import Mark
from fairway.broker.mailbox import Letter, Mailbox, Waiting
from fairway.broker.owners import Owners
from fairway.broker.post import DeadLetter, Post
from fairway.broker.repeats import Repeats
from fairway.broker.sessions import Session, Sessions
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.limits import BrokerLimits
from fairway.names import check_readable, owner_prefix


class Broker:
    """All queues, leases, groups and inboxes of one broker."""

    def __init__(self, epoch: str, limits: BrokerLimits | None = None) -> None:
        self.epoch = epoch
        self.limits = limits or BrokerLimits()
        self.signals: list[Signal] = []
        self.post = Post(self.limits)
        self.owners = Owners(self.limits, self.post, self.signals)
        self.sessions = Sessions()
        self._repeats = Repeats(self.limits.repeat_memory, self.limits.repeat_count)
        self._later: list[tuple[float, int, Letter]] = []
        self._numbers = count(1)
        self.due: float | None = None
        """When `tick` has something to do; None when nothing waits for time to pass."""
        self.delivered = self.committed = self.repeats_dropped = self.group_sends_dropped = 0

    def take_signals(self) -> list[Signal]:
        """Return what the last commands ask of the shell, and forget it."""
        signals = self.signals[:]
        self.signals.clear()
        return signals

    # --- sessions ----------------------------------------------------------------------------------------------------

    def open_session(self, channels: Collection[str]) -> int:
        """Open a session that reads `channels`, without demand yet; return its number.

        Raises:
            InvalidName: a channel that cannot be read.
        """
        names = tuple(dict.fromkeys(map(check_readable, channels)))
        session = Session(next(self._numbers), names, [self.post.pin(name) for name in names])
        self.sessions.open(session)
        return session.id

    def demand(self, session_id: int, more: int, now: float) -> None:
        """Change by `more` (negative takes back) how many deliveries the session would take right now."""
        session = self.sessions.get(session_id)
        if session is None:
            return
        self.sessions.change_demand(session, more)
        while session.demand > 0 and not session.paused:
            box = session.next_box()
            if box is None:
                return
            letter = box.take()
            if box.waiting:
                self._settle(box)
            if self.post.drop_expired(letter, now):
                self._tell_abandoned(letter[0], "expired")
            else:
                self._lease(session, letter)

    def release(self, session_id: int, receipt: int) -> None:
        """Put a delivery that was not begun back to the front, its attempt unchanged. Nothing for an unknown one."""
        session = self.sessions.get(session_id)
        delivery = session.leases.pop(receipt, None) if session else None
        if delivery:
            self._put_back((delivery.envelope, delivery.body))

    def pause(self, session_id: int) -> None:
        """Hand nothing more to the session. It still commits what it holds."""
        session = self.sessions.get(session_id)
        if session:
            self.sessions.pause(session)

    def close_session(self, session_id: int) -> None:
        """End a session. What it held is delivered again, or becomes a dead letter, or is lost, by its policy."""
        session = self.sessions.close(session_id)
        if session is None:
            return
        for receipt in sorted(session.leases, reverse=True):
            self._orphaned(session.leases[receipt])
        for name in session.channels:
            self.post.unpin(name)
            if name.endswith("!"):
                self.owners.tell_all_gone(name)

    def _lease(self, session: Session, letter: Letter) -> None:
        delivery = Delivery(letter[0], letter[1], next(self._numbers))
        session.leases[delivery.receipt] = delivery
        self.sessions.change_demand(session, -1)
        self.delivered += 1
        self.signals.append(Deliver(session.id, delivery))

    def _orphaned(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        if envelope.policy is Policy.ONCE:
            self.post.held -= len(delivery.body)
            self._abandon(envelope, "lost")
        elif envelope.attempt >= self.post.rule(envelope.channel).attempts:
            self._bury((envelope, delivery.body), "attempts")
        else:
            envelope.attempt += 1
            self._put_back((envelope, delivery.body))

    def _put_back(self, letter: Letter) -> None:
        name = _queue_name(letter[0].channel)
        session = self.sessions.idle_reader(name)
        if session:
            self._lease(session, letter)
        else:
            self.post.box(name).put_back(letter)

    # --- commit ------------------------------------------------------------------------------------------------------

    def commit(self, session_id: int, receipt: int, outbox: Sequence[Effect], ending: Ending, now: float) -> None:
        """Acknowledge a delivery and publish its outbox, in one step.

        Raises:
            DeliveryLost: the session does not hold this receipt; nothing was published.
        """
        session = self.sessions.get(session_id)
        delivery = session.leases.pop(receipt, None) if session else None
        if delivery is None:
            msg = f"receipt {receipt} is no longer held; another reader has the message, or had it"
            raise DeliveryLost(msg)
        self.committed += 1
        envelope = delivery.envelope
        if outbox:
            deadline = now + self.limits.commit_wait
            for index, effect in enumerate(outbox):
                self._apply(effect, f"{envelope.id}.{index}", deadline)
        if ending is Ending.LATER:
            self._consume_later((envelope, delivery.body), now)
            return
        self.post.held -= len(delivery.body)
        if envelope.order >= 0:
            inbox = self.owners.of(envelope.reply_channel)
            if inbox:
                self.owners.tell(inbox, Done(envelope.reply_channel, envelope.order))

    def _consume_later(self, letter: Letter, now: float) -> None:
        envelope = letter[0]
        envelope.retries += 1
        if envelope.retries > self.limits.requeues:
            self._bury(letter, "retries")
            return
        due = now + self.limits.requeue_pause * 2 ** (envelope.retries - 1)
        heappush(self._later, (due, next(self._numbers), letter))
        self._note_due(due)

    def _apply(self, effect: Effect, effect_id: str, deadline: float) -> None:
        """Publish one effect of a commit: what finds no room waits until `deadline`, then it is a dead letter."""
        if type(effect) is not Send:
            self._carry(effect, effect_id)
            return
        inbox = self.owners.of(effect.channel)
        if inbox:
            self.owners.frame(inbox, effect)
        else:
            self._enqueue(_letter(effect, effect_id), deadline, 0)

    def _carry(self, effect: Effect, effect_id: str) -> None:
        """Publish an effect that never waits for room."""
        if isinstance(effect, GroupSend):
            self._send_group(effect, effect.id or effect_id)
            return
        inbox = self.owners.of(effect.channel)
        if inbox is None:
            return
        if isinstance(effect, SaveState):
            self.owners.tell(inbox, State(effect.channel, effect.changes))
        elif not isinstance(effect, Send):
            self.owners.tell(inbox, Credit(effect.channel, effect.size))

    # --- publishing --------------------------------------------------------------------------------------------------

    def publish(self, effect: Effect, now: float, deadline: float | None = None) -> int:
        """Publish one effect outside any commit.

        Returns:
            0 when it is done, else a token: it waits for room until `deadline`, and a `Settled` will tell.

        Raises:
            ChannelFull: no room, and no deadline was given.
        """
        known = effect.id if isinstance(effect, Send | GroupSend) else ""
        if known and self._repeats.seen(known, now):
            self.repeats_dropped += 1
            return 0
        effect_id = known or f"{self.epoch}.{next(self._numbers)}"
        if not isinstance(effect, Send):
            self._carry(effect, effect_id)
            return 0
        token = next(self._numbers) if deadline is not None else 0
        inbox = self.owners.of(effect.channel)
        if inbox is None:
            return self._enqueue(_letter(effect, effect_id), deadline, token)
        if not inbox.full_for(effect.channel) and self.post.held < self.limits.total:
            self.owners.frame(inbox, effect)
            return 0
        if deadline is None:
            raise ChannelFull(effect.channel, "its client reads slowly")
        self.owners.wait(inbox, effect.channel, Waiting(_letter(effect, effect_id), deadline, token))
        self._note_due(deadline)
        return token

    def publish_during(
        self, session_id: int, delivery: Delivery, effect: Effect, now: float, deadline: float | None = None
    ) -> int:
        """Publish one effect at once from inside a consumer run; otherwise as `publish`.

        Raises:
            DeliveryLost: the effect answers the delivery's own connection, and the receipt is no longer held.
            ChannelGone: the same, and the connection has ended.
        """
        envelope = delivery.envelope
        if not isinstance(effect, Send) or effect.channel != envelope.reply_channel:
            return self.publish(effect, now, deadline)
        session = self.sessions.get(session_id)
        held = session.leases.get(delivery.receipt) if session else None
        if held is None:
            msg = f"receipt {delivery.receipt} is no longer held, so {effect.channel!r} is not answered"
            raise DeliveryLost(msg)
        inbox = self.owners.of(effect.channel)
        if inbox is None or inbox.marks.get(effect.channel) is Mark.DEPARTED:
            raise ChannelGone(effect.channel)
        token = self.publish(effect, now, deadline)
        if self.post.rule(envelope.channel).begun_once:
            held.envelope.policy = Policy.ONCE
        return token

    def withdraw(self, channel: str, token: int) -> bool:
        """Take a waiting publish back; False when it is published or refused already."""
        inbox = self.owners.of(channel)
        waiting = inbox.withdraw(token) if inbox else self.post.withdraw(_queue_name(channel), token)
        if waiting is None:
            return False
        self.post.held -= len(waiting.letter[1])
        return True

    def _enqueue(self, letter: Letter, deadline: float | None, token: int) -> int:
        """Give a message to an idle reader or its mailbox; return `token` when it has to wait, else 0."""
        channel = letter[0].channel
        name = _queue_name(channel)
        if name != channel and not self.post.readers(name):
            return 0  # a process-specific channel whose process is gone: nobody will ever read it
        has_memory = self.post.held < self.limits.total
        if has_memory:
            session = self.sessions.idle_reader(name)
            box = None if session else self.post.box(name)
            if session or (box and not box.full):
                self.post.held += len(letter[1])
                if session:
                    self._lease(session, letter)
                elif box:
                    box.put(letter)
                return 0
        if deadline is None:
            raise ChannelFull(channel, "at capacity" if has_memory else "the broker is full")
        self.post.held += len(letter[1])
        self.post.box(name).wait(Waiting(letter, deadline, token))
        self._note_due(deadline)
        return token

    def _send_group(self, effect: GroupSend, effect_id: str) -> None:
        for member in self.owners.directory.members(effect.group):
            inbox = self.owners.by_prefix(member)
            if inbox:
                sent = self.owners.group_frame(inbox, GroupFrame(effect.group, effect.body, effect.typed, effect_id))
            else:
                sent = self._try_enqueue((Envelope(f"{effect_id}.{member}", member), effect.body))
            if not sent:
                self.group_sends_dropped += 1

    def _try_enqueue(self, letter: Letter) -> bool:
        try:
            self._enqueue(letter, None, 0)
        except ChannelFull:
            return False
        return True

    # --- owners of connections ---------------------------------------------------------------------------------------

    def open_owner(self, prefixes: Iterable[str]) -> int:
        """Give the channels below `prefixes` to a new owner; return its number. More verbs are in `owners`."""
        owner = next(self._numbers)
        self.owners.open(owner, prefixes)
        return owner

    def submit(self, owner: int, envelope: Envelope, body: bytes, now: float) -> None:
        """Take a connection's message from its owner; a `Refused` item says that there was no room."""
        name = _queue_name(envelope.channel)
        if name == envelope.channel or self.post.readers(name):
            expiry = self.post.rule(name).expiry
            envelope.expires = now + expiry if expiry >= 0 else None
            if self._try_enqueue((envelope, body)):
                return
            reason = "capacity"
        else:
            reason = "gone"
        refused = Refused(envelope.reply_channel, envelope.order, envelope.channel, reason)
        self.owners.tell(self.owners.by_number(owner), refused)

    def ask_members(self, group: str) -> tuple[list[str], list[int]]:
        """Return the normal channels in `group`, and a token for each owner that was asked for its connections."""
        found: list[str] = []
        tokens: list[int] = []
        for member in self.owners.directory.members(group):
            inbox = self.owners.by_prefix(member)
            if inbox:
                tokens.append(self.owners.ask(inbox, next(self._numbers), "members", group))
            else:
                found.append(member)
        return found, tokens

    def ask_state(self, channel: str) -> int:
        """Ask a connection's owner for its state; return the token, or 0 when there is no such owner."""
        inbox = self.owners.of(channel)
        return self.owners.ask(inbox, next(self._numbers), "state", channel) if inbox else 0

    def answer(self, token: int, answer: Any) -> None:
        """Pass an owner's answer on to whoever asked."""
        self.signals.append(Answered(token, answer))

    # --- time and trouble --------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due by now, and set `due` to the next time."""
        while self._later and self._later[0][0] <= now:
            self._put_back(heappop(self._later)[2])
        for waiting in self.post.overdue(now) + self.owners.overdue(now):
            if waiting.token:
                self.post.held -= len(waiting.letter[1])
                self.signals.append(Settled(waiting.token, "at capacity"))
            else:
                self._bury(waiting.letter, "full")
        due = self.post.deadlines() + self.owners.deadlines()
        if self._later:
            due.append(self._later[0][0])
        self.due = min(due, default=None)

    def _note_due(self, due: float) -> None:
        if self.due is None or due < self.due:
            self.due = due

    def _settle(self, box: Mailbox) -> None:
        self.signals += [Settled(waiting.token, "") for waiting in box.admit() if waiting.token]

    def _bury(self, letter: Letter, reason: str) -> None:
        self.post.held -= len(letter[1])
        self.post.dead.append(DeadLetter(letter[0], letter[1], reason))
        self._abandon(letter[0], reason)

    def _abandon(self, envelope: Envelope, reason: str) -> None:
        self.signals.append(Mislaid(envelope, reason))
        self._tell_abandoned(envelope, reason)

    def _tell_abandoned(self, envelope: Envelope, reason: str) -> None:
        inbox = self.owners.of(envelope.reply_channel) if envelope.order >= 0 else None
        if inbox:
            self.owners.tell(inbox, Abandoned(envelope.reply_channel, envelope.order, reason, envelope.attempt))

    def flush(self) -> None:
        """Drop all messages and groups. Sessions and owners stay, without what they held."""
        dropped = self.post.clear() + self.owners.clear()
        self.signals += [Settled(waiting.token, "") for waiting in dropped if waiting.token]
        self._repeats.clear()
        self._later.clear()
        for session in self.sessions:
            session.leases.clear()


def _queue_name(channel: str) -> str:
    return owner_prefix(channel) or channel


def _letter(effect: Send, effect_id: str) -> Letter:
    return Envelope(effect_id, effect.channel, effect.reply_channel, state=effect.state), effect.body
