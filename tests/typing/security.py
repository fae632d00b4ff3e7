"""Guarded consumers and closed sockets as a typed application writes them. mypy reads this file; nothing runs it.

A line that must be an error carries an ignore with its code: `make lint` then fails when it is an error no longer.
"""

from typing import Any, assert_type

from fairway import Message, route
from fairway.auth import adisconnect_user, disconnect_user
from fairway.consumers import JsonWebsocketConsumer
from fairway.security import (
    AllowedHostsOnlyOriginValidator,
    BaseOriginValidator,
    allowed_hosts_only,
    login_required,
    permission_required,
    user_passes_test,
)


@login_required
def receive(message: Message, room: str) -> int:
    """A decorated function keeps its type."""
    return len(room)


@login_required()
async def areceive(message: Message) -> str:
    """So does a coroutine."""
    return str(message.user)


assert_type(receive(Message({}, None, None), room="blue"), int)


async def awaits() -> None:
    """It is awaited as before."""
    assert_type(await areceive(Message({}, None, None)), str)


@allowed_hosts_only
@permission_required("blog.change_post")
@user_passes_test(lambda user: user.is_staff)
class Editor(JsonWebsocketConsumer):
    """A decorated class is still one."""

    @permission_required(["blog.change_post", "blog.delete_post"])
    def receive(self, content: Any, **kwargs: Any) -> None:
        """So is a method."""
        self.send({"got": content})


async def is_owner(user: Any) -> bool:
    """Tests may be coroutines."""
    return bool(user.is_superuser)


owned = user_passes_test(is_owner)(receive)
routing = [Editor.as_route(path="^/edit/"), route("websocket.connect", allowed_hosts_only(receive))]


class OnlySecure(BaseOriginValidator):
    """A rule of one's own."""

    def validate_origin(self, message: Message, origin: str) -> bool:
        return origin.startswith("https:")


class Stricter(AllowedHostsOnlyOriginValidator):
    """Or a stricter one."""

    def validate_origin(self, message: Message, origin: str) -> bool:
        return origin.startswith("https:") and super().validate_origin(message, origin)


async def close(user: Any) -> None:
    """Closing the sockets of a user."""
    disconnect_user(user)
    disconnect_user(5, 4001, "enough", alias="other")
    await adisconnect_user("5", reason="enough")


def wrong() -> None:
    """What mypy must refuse."""
    permission_required(5)  # type: ignore[arg-type]
    user_passes_test("blog.change_post")  # type: ignore[arg-type]
    login_required("receive")  # type: ignore[call-overload]
    disconnect_user(5, "enough")  # type: ignore[arg-type]
