"""The public API as a typed application uses it. mypy reads this file; nothing runs it.

A line that must be an error carries an ignore with its code: `make lint` then fails when it is an error no longer.
"""

from datetime import UTC, datetime, timedelta
from typing import assert_type

from fairway import Channel, Group, Message, include, route

THRESHOLD = 3


def connect(message: Message, room: str) -> None:
    """A function consumer with a captured argument."""
    group = Group(f"room-{room}")
    group.add(message.reply_channel)
    message.reply_channel.send({"accept": True})
    assert_type(group.channels(), list[str])


async def receive(message: Message) -> None:
    """The same as a coroutine, with the `a` prefix."""
    await Group("news").asend({"text": message["text"]})
    await Channel("log").asend({"line": 1}, immediately=True)
    if message.attempt > THRESHOLD:
        Channel("log").send({"line": 2}, timeout=1.5)


def remind(message: Message) -> None:
    """Messages for later, and after the database's commit."""
    reminders = Channel("reminders")
    reminders.send({"id": 1}, delay=timedelta(minutes=5), key="reminder-1")
    reminders.send({"id": 2}, at=datetime(2030, 1, 1, tzinfo=UTC), on_commit=True)
    reminders.cancel("reminder-1", on_commit=True)
    Group("news").send({"text": message["text"]}, on_commit=True)


async def aremind() -> None:
    """The same as a coroutine, which has no transactions."""
    await Channel("reminders").asend({"id": 1}, delay=timedelta(minutes=5), key="reminder-1")
    await Channel("reminders").acancel("reminder-1")


routing = [
    route("websocket.connect", connect, path=r"^/(?P<room>\w+)/$"),
    route("websocket.receive", receive),
    include([route("log", "project.consumers.log")], path="^/admin"),
]


def wrong() -> None:
    """What mypy must refuse."""
    Channel("log").send("text")  # type: ignore[arg-type]
    Channel(5)  # type: ignore[arg-type]
    Group("news").send({"text": "a"}, timeout=1)  # type: ignore[call-arg]
    Channel("log").send({}, delay=5)  # type: ignore[arg-type]
    Channel("log").send({}, at="tomorrow")  # type: ignore[arg-type]
    Group("news").send({}, delay=timedelta(1))  # type: ignore[call-arg]
