"""`subscribe` and `unsubscribe`: a client joins a group, if the application lets it.

Nothing may be subscribed to before an application says who may. It does so for each type of thing::

    class Reference(TypedDict):
        id: int


    @rohrpost_subscription("article")
    def may_read(consumer, data: Reference):
        return Article.objects.filter(pk=data["id"], readers=consumer.user).exists()

A client then sends `{"type": "subscribe", "id": 1, "data": {"type": "article", "id": 5}}` and is answered
`{"type": "subscribe", "id": 1, "data": {"group": "article-5", "type": "article", "id": 5}}`. A text that the function
returns is the name of the group; True stands for the one that `fairway.rohrpost.mixins` tell by default. Permission is
asked for when a client subscribes, and not again.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied

from fairway.consumers.calls import is_coroutine_function
from fairway.errors import InvalidName, MessageTooLarge
from fairway.names import check_group
from fairway.rohrpost.connection import RohrpostConnection
from fairway.rohrpost.message import send_message
from fairway.rohrpost.registry import rohrpost_handler
from fairway.rohrpost.shapes import checked

Permission = Callable[..., Any]
Function = TypeVar("Function", bound=Permission)

SUBSCRIPTIONS: dict[str, Permission] = {}
"""Type of thing -> what says whether a client may hear of one, and of which group."""

MOST = 1000
"""Subscriptions of one connection: they stand in its state, which travels with each of its messages."""

LONGEST_ID = 150
"""Characters of an id that is a text: it stands in the group's name, and in the state."""

LARGEST_ID = 2**63
"""Ids that are integers are below this: the connection's state holds no larger ones, and no database has them."""

KEPT = "rohrpost.subscriptions"
"""Key of the connection's state: a list of type, id and group."""


def rohrpost_subscription(name: str) -> Callable[[Function], Function]:
    """Register what says whether a client may subscribe to a thing of a type.

    The function is called with `consumer` and `data`: a dict with `type`, `id` and whatever the client adds. A type
    hint checks and converts it, as that of a handler. It returns True, the name of a group, or False or None;
    `DoesNotExist` and `PermissionDenied` are a no, too. It may be a coroutine.

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
    group = _allowed_group(consumer, request["data"])
    if not group:
        # The same for a type that is not known, so that nobody learns what there is.
        _refuse(consumer, request, f"You may not subscribe to '{wanted[0][:100]}'.")
    elif not _subscribe(consumer, wanted, group):
        _refuse(consumer, request, "This connection has as many subscriptions as it can keep.")
    else:
        _answer(consumer, request, {"group": group, "type": wanted[0], "id": wanted[1]})


@rohrpost_handler("unsubscribe")
def handle_unsubscribe(consumer: RohrpostConnection, request: dict[str, Any]) -> None:
    """Let the client leave a group, unless another of its subscriptions leads there. It need not be in it."""
    wanted = _thing(request)
    if wanted is None:
        _refuse(consumer, request, "To unsubscribe takes data with the 'type' and the 'id' of the subscription.")
        return
    thing = {"type": wanted[0], "id": wanted[1]}
    group = _group_of(wanted, _kept(consumer))
    if group is not None:
        _forget(consumer, wanted)
        thing = {"group": group, **thing}
    _answer(consumer, request, thing)


def _thing(request: dict[str, Any]) -> tuple[str, Any] | None:
    """Return the type and the id of what a request is about; None where they cannot be those of anything."""
    data = request.get("data")
    kind, name = (data.get("type"), data.get("id")) if isinstance(data, dict) else (None, None)
    if isinstance(name, str):
        is_id = len(name) <= LONGEST_ID
    elif isinstance(name, int):
        is_id = not isinstance(name, bool) and abs(name) < LARGEST_ID
    else:
        is_id = isinstance(name, float)
    return (kind, name) if isinstance(kind, str) and is_id else None


def _allowed_group(consumer: RohrpostConnection, data: dict[str, Any]) -> str:
    """Return the group that a client may join; an empty text when it may not.

    Raises:
        WrongData: the data has not the shape that the application declares.
        TypeError: the application's function returns what is no answer.
    """
    permission = SUBSCRIPTIONS.get(data["type"])
    if permission is None:
        return ""
    asked = checked(permission, data)
    ask = async_to_sync(permission) if is_coroutine_function(permission) else permission
    try:
        answer = ask(consumer=consumer, data=asked)
    except (ObjectDoesNotExist, PermissionDenied):
        return ""
    if answer is True:
        return _checked_name(f"{data['type']}-{data['id']}")
    if answer and not isinstance(answer, str):
        msg = f"who may subscribe to {data['type']!r} is True, False or the name of a group, not {answer!r:.100}"
        raise TypeError(msg)
    return answer or ""


def _checked_name(name: str) -> str:
    """Return the name of a group that a client's id is part of; an empty text where there can be none."""
    try:
        return check_group(name)
    except InvalidName:
        return ""


def _subscribe(consumer: RohrpostConnection, wanted: tuple[str, Any], group: str) -> bool:
    """Join a group in place of the one that a subscription had. False: there is no room for one more."""
    kept = _kept(consumer)
    before = _group_of(wanted, kept)
    if before == group:
        consumer.add_to_group(group)
        return True
    if before is None and len(kept) >= MOST:
        return False
    try:
        _keep(consumer, [*_without(wanted, kept), [*wanted, group]])
        consumer.add_to_group(group)
    except Exception as error:
        _keep(consumer, kept)
        if isinstance(error, MessageTooLarge):
            return False
        raise
    if before is not None:
        _leave(consumer, before)
    return True


def _forget(consumer: RohrpostConnection, wanted: tuple[str, Any]) -> None:
    """End a subscription."""
    kept = _kept(consumer)
    _keep(consumer, _without(wanted, kept))
    _leave(consumer, _group_of(wanted, kept))


def _leave(consumer: RohrpostConnection, group: str | None) -> None:
    """Leave a group, unless a subscription leads there."""
    if group is not None and all(entry[2] != group for entry in _kept(consumer)):
        consumer.remove_from_group(group)


def _group_of(wanted: tuple[str, Any], kept: list[list[Any]]) -> str | None:
    return next((group for kind, name, group in kept if (kind, name) == wanted), None)


def _without(wanted: tuple[str, Any], kept: list[list[Any]]) -> list[list[Any]]:
    return [entry for entry in kept if (entry[0], entry[1]) != wanted]


def _kept(consumer: RohrpostConnection) -> list[list[Any]]:
    return list(consumer.message.state.get(KEPT, ()))


def _keep(consumer: RohrpostConnection, entries: list[list[Any]]) -> None:
    consumer.message.state[KEPT] = entries


def _answer(consumer: RohrpostConnection, request: dict[str, Any], data: dict[str, Any]) -> None:
    send_message(consumer=consumer, handler=request["type"], message_id=request["id"], data=data)


def _refuse(consumer: RohrpostConnection, request: dict[str, Any], error: str) -> None:
    send_message(consumer=consumer, handler=request["type"], message_id=request["id"], error=error)
