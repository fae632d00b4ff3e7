"""The broker: commands in, signals out, `now` passed in, and nothing else.

It knows queues, leases, groups and inboxes. It does no I/O, holds no lock and reads no clock; a shell around it does
(`layers.memory` in one process, the hub behind a socket). It never looks into a body.

The life of a message on a normal channel::

               publish                demand                  commit
    (sender) ──────────▶  mailbox  ──────────▶  lease  ──────────────────▶ (gone, its effects published)
                             ▲                    │ release: attempt unchanged
                             ├────────────────────┤ session closed: attempt + 1, or dead letter, or lost (ONCE)
                             └───── later ◀───────┘ commit with Ending.LATER: after a pause

Who gets a message, and the left half of the picture, is the business of `deliveries`.

Every command leaves what the shell must do in `signals`; the shell takes them with `take_signals` after each.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from msgspec.structs import replace

from fairway.broker.dead import DeadLetter
from fairway.broker.deliveries import Deliveries
from fairway.broker.effects import (
    Credit,
    Delivery,
    Done,
    Effect,
    Ending,
    Envelope,
    GroupFrame,
    GroupSend,
    Policy,
    Refused,
    SaveState,
    Send,
    Settled,
)
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.mailbox import Letter, Waiting
from fairway.broker.post import queue_name
from fairway.broker.repeats import Repeats
from fairway.broker.wills import DISCONNECT, Will
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.limits import BrokerLimits

_LATER = Ending.LATER
"""Looked up once: finding a member of an enum costs as much as a call."""

TICK = 0.01
"""Seconds between two looks at what is due: ten thousand that wait are looked through together, not one by one."""


class Broker(Deliveries):
    """All queues, leases, groups and inboxes of one broker."""

    def __init__(self, epoch: str, limits: BrokerLimits | None = None) -> None:
        super().__init__(limits)
        self.epoch = epoch
        self._repeats = Repeats(self.limits.repeat_memory, self.limits.repeat_count)
        self._later: list[tuple[float, int, Letter]] = []
        self.committed = self.repeats_dropped = self.group_sends_dropped = 0

    # --- commit ------------------------------------------------------------------------------------------------------

    def commit(
        self, session_id: int, receipt: int, outbox: Sequence[Effect], ending: Ending, now: float, more: int = 0
    ) -> None:
        """Acknowledge a delivery and publish its outbox, in one step.

        Parameters:
            more: how many deliveries the session would take instead, as `demand` is told.

        Raises:
            DeliveryLost: the session does not hold this receipt; nothing was published.
        """
        session = self.sessions.get(session_id)
        delivery = session.leases.pop(receipt, None) if session else None
        if session is None or delivery is None:
            msg = f"receipt {receipt} is no longer held; another reader has the message, or had it"
            raise DeliveryLost(msg)
        self.committed += 1
        envelope = delivery.envelope
        reply_channel = envelope.reply_channel
        inbox = self.owners.of(reply_channel) if reply_channel else None
        for index, effect in enumerate(outbox):
            if inbox and type(effect) is Send and effect.channel == reply_channel:
                self.owners.frame(inbox, reply_channel, effect.body)  # what nearly every effect is
            else:
                self._apply(effect, f"{_run(envelope)}.{index}", now)
        if ending is _LATER:
            self._consume_later((envelope, delivery.body), outbox, now)
        else:
            self.post.held -= len(delivery.body)
            if envelope.order >= 0:
                if inbox:
                    self.owners.tell(inbox, Done(reply_channel, envelope.order))
                elif self._last_words:
                    self._speak(reply_channel)
        if more:
            self._demand(session, more, now)

    def _consume_later(self, letter: Letter, outbox: Sequence[Effect], now: float) -> None:
        envelope = letter[0].for_another_run(attempt=letter[0].attempt, retries=letter[0].retries + 1)
        if envelope.retries > self.limits.requeues:
            self._bury((envelope, letter[1]), "retries", now)
            return
        for effect in outbox:
            if isinstance(effect, SaveState) and effect.channel == envelope.reply_channel:
                state = {**(envelope.state or {}), **effect.changes}
                envelope.state = {key: value for key, value in state.items() if value is not None}
        due = now + self.limits.requeue_pause * 2 ** (envelope.retries - 1)
        heappush(self._later, (due, next(self._numbers), (envelope, letter[1])))
        self._note_due(due)

    def _apply(self, effect: Effect, effect_id: str, now: float) -> None:
        """Publish one effect of a commit: what finds no room waits a little, then it is a dead letter."""
        if type(effect) is not Send:
            self._carry(effect, effect_id, now)
            return
        inbox = self.owners.of(effect.channel)
        if inbox:
            self.owners.frame(inbox, effect.channel, effect.body)
            return
        letter = _letter(effect, effect.id or effect_id)
        try:
            self._enqueue(letter, now, now + self.limits.commit_wait, 0)
        except ChannelFull:
            self.post.held += len(letter[1])
            self._bury(letter, "full", now)

    def _carry(self, effect: Effect, effect_id: str, now: float) -> None:
        """Publish an effect that never waits for room."""
        if isinstance(effect, GroupSend):
            self._send_group(effect, effect.id or effect_id, now)
            return
        inbox = self.owners.of(effect.channel)
        if inbox is None:
            return
        if isinstance(effect, SaveState):
            self.owners.state(inbox, effect.channel, effect.changes)
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
            self._carry(effect, effect_id, now)
            return 0
        try:
            return self._publish_letter(_letter(effect, effect_id), now, deadline)
        except ChannelFull:
            self._repeats.forget(known)
            raise

    def _publish_letter(self, letter: Letter, now: float, deadline: float | None) -> int:
        token = next(self._numbers) if deadline is not None else 0
        channel = letter[0].channel
        inbox = self.owners.of(channel)
        if inbox is None:
            return self._enqueue(letter, now, deadline, token)
        is_full = inbox.full_for(channel)
        if not is_full and self.post.has_memory:
            self.owners.frame(inbox, channel, letter[1])
            return 0
        if deadline is None or self.post.is_crowded:
            raise ChannelFull(channel, "its client reads slowly" if is_full else "the broker is full")
        self.owners.wait(inbox, channel, Waiting(letter, deadline, token))
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
        if self.post.rule(queue_name(envelope.channel)).begun_once:
            held.envelope.policy = Policy.ONCE
        return token

    def withdraw(self, channel: str, token: int) -> bool:
        """Take a waiting publish back; False when it is published or refused already."""
        inbox = self.owners.of(channel)
        waiting = inbox.withdraw(token) if inbox else self.post.withdraw(queue_name(channel), token)
        if waiting is None:
            return False
        self._uncrowd(waiting)
        return True

    def _uncrowd(self, waiting: Waiting) -> None:
        """A message that waited for room in vain is gone: its bytes, and the memory of its id."""
        size = len(waiting.letter[1])
        self.post.held -= size
        self.post.crowd -= size
        self._repeats.forget(waiting.letter[0].id)

    def _enqueue(self, letter: Letter, now: float, deadline: float | None, token: int) -> int:
        """Give a message to an idle reader or its mailbox; return `token` when it has to wait, else 0.

        Raises:
            ChannelFull: no room, and no deadline, or too much waits already.
        """
        channel = letter[0].channel
        name = queue_name(channel)
        if self.post.is_gone(name) or self._offer(name, letter, now):
            return 0
        if deadline is None or self.post.is_crowded:
            raise self._no_room(name, channel)
        self.post.wait(name, Waiting(letter, deadline, token))
        self._note_due(deadline)
        return token

    def _offer(self, name: str, letter: Letter, now: float) -> bool:
        """Give a message to an idle reader of a queue, or to its mailbox; return whether there was room."""
        envelope, body = letter
        box = self.post.box(name)
        if box.rule.expiry >= 0:
            envelope.expires = now + box.rule.expiry
        if box.full or not self.post.has_memory:
            return False
        self.post.held += len(body)
        session = self.sessions.idle_reader(name)
        if session:
            self._lease(session, letter)
        else:
            box.put(letter)
            self._note_due(box.sweep)
        return True

    def _no_room(self, name: str, channel: str) -> ChannelFull:
        self.post.forget_box(name)
        return ChannelFull(channel, "at capacity" if self.post.has_memory else "the broker is full")

    def _send_group(self, effect: GroupSend, effect_id: str, now: float) -> None:
        for member in self.owners.directory.members(effect.group):
            inbox = self.owners.by_prefix(member)
            if inbox:
                sent = self.owners.group_frame(inbox, GroupFrame(effect.group, effect.body, effect.typed, effect_id))
            else:
                name = queue_name(member)
                letter = (Envelope(f"{effect_id}.{member}", member), effect.body)
                sent = self.post.is_gone(name) or self._offer(name, letter, now)
                if not sent:
                    self.post.forget_box(name)
            if not sent:
                self.group_sends_dropped += 1

    def submit(self, owner: int, envelope: Envelope, body: bytes, now: float) -> None:
        """Take a connection's message from its owner; a `Refused` item says that there was no room.

        One with an attempt above 1 is sent again by an owner that has lost its line, or its broker. If it is here
        still it is dropped, and the owner hears of it in the end. Its attempts count on, but it is no dead letter for
        them alone: a broker that comes and goes is not the message's fault.
        """
        inbox = self.owners.by_number(owner)
        if inbox is None:
            return  # the last words of a line that another has replaced: what counts is sent again over that one
        if envelope.attempt > 1 and self._has_still(inbox, envelope.id):
            self.repeats_dropped += 1
            return
        if inbox.wills:
            self._note_will(inbox, envelope)
        name = envelope.channel
        if "!" in name:
            name = queue_name(name)
        if self.post.is_gone(name):
            reason = "gone"
        elif self._offer(name, (envelope, body), now):
            return
        else:
            self.post.forget_box(name)
            reason = "capacity"
            if envelope.order == 0:
                inbox.wills.pop(envelope.reply_channel, None)  # nobody will hear of this connection
        self.owners.tell(inbox, Refused(envelope.reply_channel, envelope.order, envelope.channel, reason))

    @staticmethod
    def _note_will(inbox: Inbox, envelope: Envelope) -> None:
        if envelope.channel == DISCONNECT:
            inbox.wills.pop(envelope.reply_channel, None)
        elif will := inbox.wills.get(envelope.reply_channel):
            will.note(envelope)

    def carry_out(self, wills: Mapping[str, Will]) -> None:
        """Tell the workers of the end of these connections, whose owner has died: of each after what is under way."""
        busy = {envelope.reply_channel for envelope in self._envelopes() if envelope.order >= 0}
        for channel, will in wills.items():
            self._last_words[channel] = will.letter(channel)
            if channel not in busy:
                self._speak(channel)

    def _has_still(self, inbox: Inbox, message_id: str) -> bool:
        """Whether a message that its owner sends again waits here or is leased.

        What was here when the owner began to send again ends under its eyes, so one look serves for all of them.
        """
        if inbox.known is None:
            inbox.known = {
                envelope.id
                for envelope in self._envelopes()
                if envelope.order >= 0 and self.owners.of(envelope.reply_channel) is inbox
            }
        if message_id not in inbox.known:
            return False
        inbox.known.discard(message_id)
        return True

    def _envelopes(self) -> Iterator[Envelope]:
        """All messages that wait for a reader, for their time, or for the end of their consumer."""
        for box in self.post.boxes().values():
            yield from (envelope for envelope, _ in box.letters)
        for session in self.sessions:
            yield from (delivery.envelope for delivery in session.leases.values())
        yield from (letter[0] for _, _, letter in self._later)

    # --- dead letters ------------------------------------------------------------------------------------------------

    def requeue_dead(self, ids: Collection[str]) -> int:
        """Put dead letters at the end of their channels, with a new history; return how many found room."""
        return self.post.dead.remove(ids, self._revive)

    def _revive(self, dead: DeadLetter) -> bool:
        name = queue_name(dead.envelope.channel)
        if self.post.is_gone(name) or not self.post.has_memory:
            return False
        box = self.post.box(name)
        if box.full:
            return False
        # Its connection was told long ago that it is abandoned: the gate must hear nothing of it.
        box.put((replace(dead.envelope, order=-1, attempt=1, retries=0, expires=None), dead.body))
        self.post.held += len(dead.body)
        self._hand_out(name)
        return True

    def drop_dead(self, ids: Collection[str]) -> int:
        """Drop dead letters; return how many there were."""
        return self.post.dead.remove(ids, lambda _: True)

    # --- time and trouble --------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due by now, and set `due` to the next time."""
        back = []
        while self._later and self._later[0][0] <= now:
            back.append(heappop(self._later)[2])
        self._put_back(back)
        for waiting in self.post.overdue(now) + self.owners.overdue(now):
            self._uncrowd(waiting)
            if waiting.token:
                self.signals.append(Settled(waiting.token, "at capacity"))
            else:
                self.post.held += len(waiting.letter[1])
                self._bury(waiting.letter, "full", now)
        for name, expired in self.post.sweep(now):
            for envelope, _ in expired:
                self._tell_abandoned(envelope, "expired")
            self._admit(self.post.box(name))
            self.post.forget_box(name)
        dues = [self.post.next_due(), self.owners.next_due(), self._later[0][0] if self._later else None]
        due = min((due for due in dues if due is not None), default=None)
        self.due = None if due is None else max(due, now + TICK)

    def flush(self) -> None:
        """Drop all messages and groups. Sessions and owners stay, without what they held."""
        dropped = self.post.clear() + self.owners.clear()
        self.signals += [Settled(waiting.token, "") for waiting in dropped if waiting.token]
        self._repeats.clear()
        self._later.clear()
        self._last_words.clear()
        for session in self.sessions:
            session.leases.clear()


def _run(envelope: Envelope) -> str:
    """Return what names the effects of a run: after `ConsumeLater` it is another one, whose effects are no repeats."""
    return f"{envelope.id}~{envelope.retries}" if envelope.retries else envelope.id


def _letter(effect: Send, effect_id: str) -> Letter:
    return Envelope(effect_id, effect.channel, effect.reply_channel, state=effect.state), effect.body
