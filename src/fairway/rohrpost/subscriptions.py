"""`subscribe` and `unsubscribe`: a client joins a group, if the application lets it.

Nothing may be subscribed to before an application says who may. It does so for each type of thing::

    @rohrpost_subscription("article")
    def may_read(consumer, data):
        return Article.objects.filter(pk=data["id"], readers=consumer.user).exists()

A client then sends `{"type": "subscribe", "id": 1, "data": {"type": "article", "id": 5}}` and is answered
`{"type": "subscribe", "id": 1, "data": {"group": "article-5", "type": "article", "id": 5}}`. A text that the function
returns is the name of the group; True stands for the one that `fairway.rohrpost.mixins` tell by default. Permission is
asked for when a client subscribes, and not again.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import async_to_sync

from fairway.consumers.calls import is_coroutine_function
from fairway.rohrpost.connection import RohrpostConnection
from fairway.rohrpost.message import send_message
from fairway.rohrpost.registry import rohrpost_handler

Permission = Callable[..., Any]
Function = TypeVar("Function", bound=Permission)

SUBSCRIPTIONS: dict[str, Permission] = {}
"""Type of thing -> what says whether a client may hear of one, and of which group."""

MOST = 1000
"""Subscriptions of one connection: they stand in its state, which travels with each of its messages."""

KEPT = "rohrpost.subscriptions"
"""Key of the connection's state: a list of type, id and group."""


def rohrpost_subscription(name: str) -> Callable[[Function], Function]:
    """Register what says whether a client may subscribe to a thing of a type.

    The function is called with `consumer` and `data` (a dict with `type`, `id` and whatever the client adds). It
    returns True, the name of a group, or something false; it may be a coroutine.

    Parameters:
        name: the type.

    Raises:
        ValueError: the type has such a function already.
    """

    def register(function: Function) -> Function:
        if name in SUBSCRIPTIONS:
            msg = f'Permission for subscriptions to "{name}" is already defined'
            raise ValueError(msg)
        SUBSCRIPTIONS[name] = function
        return function

    return register


@rohrpost_handler("subscribe")
def handle_subscribe(consumer: RohrpostConnection, request: dict[str, Any]) -> None:
    """Let the client join a group, or say that it may not."""
    wanted = _thing(request)
    if wanted is None:
        _refuse(consumer, request, "A subscription needs data with a 'type' (a text) and an 'id' (a text or a number).")
        return
    kept = _kept(consumer)
    if len(kept) >= MOST and wanted not in [tuple(entry[:2]) for entry in kept]:
        _refuse(consumer, request, f"There are {MOST} subscriptions on this connection, and no more are allowed.")
        return
    group = _allowed_group(consumer, request["data"])
    if not group:
        # The same for a type that is not known, so that nobody learns what there is.
        _refuse(consumer, request, f"You may not subscribe to '{wanted[0][:100]}'.")
        return
    _forget(consumer, wanted, kept)
    consumer.add_to_group(group)
    _keep(consumer, [*_kept(consumer), [*wanted, group]])
    _answer(consumer, request, {"group": group, "type": wanted[0], "id": wanted[1]})


@rohrpost_handler("unsubscribe")
def handle_unsubscribe(consumer: RohrpostConnection, request: dict[str, Any]) -> None:
    """Let the client leave a group, unless another of its subscriptions leads there. It need not be in it."""
    wanted = _thing(request)
    if wanted is None:
        _refuse(consumer, request, "To unsubscribe takes data with the 'type' and the 'id' of the subscription.")
        return
    _forget(consumer, wanted, _kept(consumer))
    _answer(consumer, request, {"type": wanted[0], "id": wanted[1]})


def _thing(request: dict[str, Any]) -> tuple[str, Any] | None:
    data = request.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return None
    name = data.get("id")
    return (data["type"], name) if isinstance(name, str | int | float) and not isinstance(name, bool) else None


def _allowed_group(consumer: RohrpostConnection, data: dict[str, Any]) -> str:
    permission = SUBSCRIPTIONS.get(data["type"])
    if permission is None:
        return ""
    ask = async_to_sync(permission) if is_coroutine_function(permission) else permission
    answer = ask(consumer=consumer, data=data)
    if isinstance(answer, str):
        return answer
    return f"{data['type']}-{data['id']}" if answer is True else ""


def _forget(consumer: RohrpostConnection, wanted: tuple[str, Any], kept: list[list[Any]]) -> None:
    """End a subscription; its group is left unless another one leads there."""
    left = [entry for entry in kept if tuple(entry[:2]) != wanted]
    ended = {entry[2] for entry in kept if tuple(entry[:2]) == wanted} - {entry[2] for entry in left}
    for group in ended:
        consumer.remove_from_group(group)
    if len(left) < len(kept):
        _keep(consumer, left)


def _kept(consumer: RohrpostConnection) -> list[list[Any]]:
    return list(consumer.message.state.get(KEPT, ()))


def _keep(consumer: RohrpostConnection, entries: list[list[Any]]) -> None:
    consumer.message.state[KEPT] = entries


def _answer(consumer: RohrpostConnection, request: dict[str, Any], data: dict[str, Any]) -> None:
    send_message(consumer=consumer, handler=request["type"], message_id=request["id"], data=data)


def _refuse(consumer: RohrpostConnection, request: dict[str, Any], error: str) -> None:
    send_message(consumer=consumer, handler=request["type"], message_id=request["id"], error=error)
