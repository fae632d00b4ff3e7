"""The broker: commands in, signals out, `now` passed in, and nothing else.

It knows queues, leases, groups and inboxes. It does no I/O, holds no lock and reads no clock; a shell around it does
(`layers.memory` in one process, the hub behind a socket). It never looks into a body.

The life of a message on a normal channel::

               publish                demand                  commit
    (sender) ──────────▶  mailbox  ──────────▶  lease  ──────────────────▶ (gone, its effects published)
                             ▲                    │ release: attempt unchanged
                             ├────────────────────┤ session closed: attempt + 1, or dead letter, or lost (ONCE)
                             └───── later ◀───────┘ commit with Ending.LATER: after a pause

Who gets a message, and the left half of the picture, is the business of `deliveries`; how one comes in, that of
`publishing`.

Every command leaves what the shell must do in `signals`; the shell takes them with `take_signals` after each.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from msgspec.structs import replace

from fairway.broker.dead import DeadLetter
from fairway.broker.effects import (
    Delivery,
    Done,
    Effect,
    End,
    Ending,
    Envelope,
    Policy,
    Refused,
    SaveState,
    Send,
    Settled,
    terms_of,
)
from fairway.broker.inbox import Inbox, Mark
from fairway.broker.mailbox import Letter
from fairway.broker.post import queue_name
from fairway.broker.publishing import Publishing, letter_of
from fairway.broker.wills import DISCONNECT, Will
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.limits import BrokerLimits

_DONE = Ending.DONE
"""Looked up once: finding a member of an enum costs as much as a call."""

TICK = 0.01
"""Seconds between two looks at what is due: ten thousand that wait are looked through together, not one by one."""


class Broker(Publishing):
    """All queues, leases, groups and inboxes of one broker."""

    def __init__(self, epoch: str, limits: BrokerLimits | None = None) -> None:
        super().__init__(epoch, limits)
        self._later: list[tuple[float, int, Letter]] = []
        self.committed = 0

    # --- commit ------------------------------------------------------------------------------------------------------

    def commit(
        self, session_id: int, receipt: int, outbox: Sequence[Effect], ending: End, now: float, more: int = 0
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
                self._apply(effect, f"{envelope.run_name()}.{index}", now)
        if ending is not _DONE:
            self._consume_again((envelope, delivery.body), outbox, ending, now)
        else:
            self.post.held -= len(delivery.body)
            if envelope.order >= 0:
                if inbox:
                    self.owners.tell(inbox, Done(reply_channel, envelope.order))
                elif self._last_words:
                    self._speak(reply_channel)
        if more:
            self._demand(session, more, now)

    def _consume_again(self, letter: Letter, outbox: Sequence[Effect], ending: End, now: float) -> None:
        retries = letter[0].retries + 1
        again = terms_of(ending, retries, self.limits)
        envelope = letter[0].for_another_run(attempt=letter[0].attempt, retries=retries)
        if retries > again.limit:
            self._bury((envelope, letter[1]), again.reason, now)
            return
        for effect in outbox:
            if isinstance(effect, SaveState) and effect.channel == envelope.reply_channel:
                state = {**(envelope.state or {}), **effect.changes}
                envelope.state = {key: value for key, value in state.items() if value is not None}
        due = now + again.pause
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
        letter = letter_of(effect, effect.id or effect_id)
        try:
            self._enqueue(letter, now, now + self.limits.commit_wait, 0)
        except ChannelFull:
            self.post.held += len(letter[1])
            self._bury(letter, "full", now)

    # --- at once -----------------------------------------------------------------------------------------------------

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

    # --- what owners submit ------------------------------------------------------------------------------------------

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
