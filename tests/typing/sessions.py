"""Sessions and users as a typed application uses them. mypy reads this file; nothing runs it."""

from typing import Any, assert_type

from django.contrib.sessions.backends.base import SessionBase

from fairway import Message, route
from fairway.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    clear_user_cache,
    http_session_user,
    transfer_user,
)
from fairway.sessions import (
    channel_and_http_session,
    channel_session,
    enforce_ordering,
    http_session,
    session_for_reply_channel,
)


@channel_session_user_from_http
def connect(message: Message, room: str) -> None:
    """A decorated consumer keeps its type."""
    message.channel_session["room"] = room
    message.reply_channel.send({"accept": message.user.is_authenticated})


@enforce_ordering(slight=False)
@channel_session_user
async def receive(message: Message) -> None:
    """The same as a coroutine."""
    message.reply_channel.send({"text": message.user.get_username()})
    state = await message.astate()
    state["seen"] = True


@enforce_ordering
@channel_and_http_session_user_from_http
@http_session_user
@channel_and_http_session
@http_session
def both(message: Message) -> str:
    """Decorators may be nested."""
    transfer_user(message.http_session, message.channel_session)
    return "result"


class Consumers:
    """Methods are decorated as functions are."""

    @channel_session
    def act(self, message: Message) -> int:
        """Count."""
        count: int = message.channel_session.get("count", 0)
        return count


async def from_a_view(name: str) -> Any:
    """Sessions of other connections."""
    session = session_for_reply_channel(name)
    assert_type(session, SessionBase)
    await session.aset("name", "Ada")
    await session.asave()
    return await session.aget("name")


routing = [route("websocket.connect", connect, path=r"^/(?P<room>\w+)/$"), route("websocket.receive", receive)]

clear_user_cache()


def results(message: Message) -> None:
    """What a consumer returns is what the decorated one returns."""
    assert_type(both(message), str)
    assert_type(Consumers().act(message), int)


def wrong() -> None:
    """What mypy must refuse."""
    session_for_reply_channel(5)  # type: ignore[arg-type]
    channel_session("consumer")  # type: ignore[type-var]
    connect("no message", room="blue")  # type: ignore[arg-type]
    enforce_ordering(slight="no")  # type: ignore[call-overload]
