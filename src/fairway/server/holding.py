"""Group messages that a connection gets only when the consumer that runs for it is done.

While its connect is consumed a connection holds them all, so that its consumer's own frames come first. Later it holds
those of groups that were joined while a consumer ran: whoever joins, reads what there is and sends it may count on it
that what changes meanwhile comes after that. It may come twice, and none is missed.
"""

from fairway.server.fanout import GroupMessage


class Holding:
    """What is held until a message is consumed.

    Parameters:
        until: the number of that message.
        groups: whose messages are held; None for those of all groups.
        limit: how many are held; the connection ends at one more.
    """

    __slots__ = ("_groups", "_limit", "messages", "until")

    def __init__(self, until: int, groups: set[str] | None, limit: int) -> None:
        self.until = until
        self.messages: list[GroupMessage] = []
        self._groups = groups
        self._limit = limit

    @property
    def is_full(self) -> bool:
        """Whether no more is held."""
        return len(self.messages) >= self._limit

    def holds(self, group: str) -> bool:
        """Say whether the messages of a group are held."""
        return self._groups is None or group in self._groups

    def join(self, group: str, until: int) -> None:
        """Hold the messages of one more group, until this message is consumed."""
        if self._groups is not None:
            self._groups.add(group)
            self.until = until
