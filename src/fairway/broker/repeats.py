"""A bounded memory of message ids, so that a message sent again is taken once.

Two generations: new ids go into the young one; when it is full or old enough it becomes the old one and the former old
one is forgotten. So an id is remembered for at least the given time while no more than `count` ids come in that time,
each step costs the same, and the memory never holds more than twice `count`.
"""


class Repeats:
    """The ids seen lately."""

    __slots__ = ("_born", "_count", "_old", "_time", "_young")

    def __init__(self, time: float, count: int) -> None:
        self._time = time
        self._count = count
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._born = float("-inf")

    def seen(self, message_id: str, now: float) -> bool:
        """Note `message_id` and return whether it was known already."""
        if len(self._young) >= self._count or now - self._born >= self._time:
            self._old = self._young if now - self._born < 2 * self._time else set()
            self._young = set()
            self._born = now
        if message_id in self._young or message_id in self._old:
            return True
        self._young.add(message_id)
        return False

    def __contains__(self, message_id: str) -> bool:
        """Whether `message_id` is remembered."""
        return message_id in self._young or message_id in self._old

    def forget(self, message_id: str) -> None:
        """Forget one id: its message was not published after all, so sending it again is no repeat."""
        self._young.discard(message_id)
        self._old.discard(message_id)

    def clear(self) -> None:
        """Forget all ids."""
        self._young.clear()
        self._old.clear()
