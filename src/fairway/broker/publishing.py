"""Publishing: how a message comes in, to whom it goes at once, and what happens where there is no room for it."""

from fairway.broker.deliveries import Deliveries
from fairway.broker.effects import Credit, Effect, Envelope, GroupFrame, GroupSend, SaveState, Send
from fairway.broker.mailbox import Letter, Waiting
from fairway.broker.post import queue_name
from fairway.broker.repeats import Repeats
from fairway.errors import ChannelFull
from fairway.limits import BrokerLimits


class Publishing(Deliveries):
    """The half of a broker that senders see."""

    def __init__(self, epoch: str, limits: BrokerLimits | None = None) -> None:
        super().__init__(limits)
        self.epoch = epoch
        self._repeats = Repeats(self.limits.repeat_memory, self.limits.repeat_count)
        self.repeats_dropped = self.group_sends_dropped = 0

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
            return self._publish_letter(letter_of(effect, effect_id), now, deadline)
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


def letter_of(effect: Send, effect_id: str) -> Letter:
    """Return the message that an effect sends."""
    return Envelope(effect_id, effect.channel, effect.reply_channel, state=effect.state), effect.body
