"""What the consumers answer in a conversation, told by the message's number alone; the swarm expects just that.

A run sends two frames to its own socket and, between them, one message to others: to the socket's room, or through an
application channel. Half of it must never be seen.
"""

ROOM = 10
"""Sockets in one room."""


def tells_room(number: int) -> bool:
    """Whether the message between the frames goes to the room; the others go through the channel `tally`."""
    return number % 4 == 1


def comes_later(number: int) -> bool:
    """Whether the first run asks to be run again later."""
    return number % 17 == 3


def fails(number: int) -> bool:
    """Whether the run raises when it has sent everything."""
    return number % 37 == 5


def dawdles(number: int) -> bool:
    """Whether the run takes a while, with half of its outbox filled."""
    return number % 10 == 7
