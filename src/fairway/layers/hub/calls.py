"""The calls of a hub's clients that are answered: publishes, questions, and everything an operator asks.

An answer carries a value, or an error as the name of its class and its arguments, so that the client raises what the
caller of a layer in one process would have seen.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fairway.broker.effects import Effect, Send
from fairway.errors import (
    ChannelFull,
    ChannelGone,
    DeliveryLost,
    FairwayError,
    InvalidName,
    LayerUnavailable,
    MessageTooLarge,
)
from fairway.layers.locked import LockedBroker
from fairway.layers.waiters import UNSETTLED
from fairway.names import check_channel, check_group
from fairway.wire.hub import Answer, Call, Frame

if TYPE_CHECKING:
    from fairway.layers.hub.joined.upstream import Upstream
    from fairway.layers.memory import MemoryLayer

LONGEST_WAIT = 3600.0
"""Seconds that a publish may wait for room, whatever it asks for."""

KNOWN_TIMEOUT = 5.0
"""Seconds after which a client goes on although other hosts do not know of it yet."""

_ERRORS: dict[str, Callable[..., FairwayError]] = {
    "ChannelFull": ChannelFull,
    "ChannelGone": ChannelGone,
    "DeliveryLost": DeliveryLost,
    "InvalidName": InvalidName,
    "LayerUnavailable": LayerUnavailable,
    "MessageTooLarge": MessageTooLarge,
}


class Told(Protocol):
    """Whoever is sent frames."""

    def put(self, frame: Frame) -> None:
        """Send a frame."""


class Client(Told, Protocol):
    """A peer, as far as calls know it."""

    publishing: dict[int, tuple[str, int]]

    def empty_hub(self) -> None:
        """Drop all messages. Called under the lock."""


def failure(token: int, error: Exception) -> Answer:
    """Return the answer for a call that failed."""
    arguments: list[Any] = [str(error)]
    if isinstance(error, ChannelFull):
        arguments = [error.channel, error.reason]
    elif isinstance(error, ChannelGone):
        arguments = [error.channel]
    elif isinstance(error, MessageTooLarge):
        arguments = [error.what, error.size, error.limit]
    return Answer(token, error=[type(error).__name__, *arguments])


def raised(error: list[Any]) -> FairwayError:
    """Return the error that an answer carries."""
    name, *arguments = error
    try:
        return _ERRORS[name](*arguments)
    except (KeyError, TypeError):  # of a hub that knows more errors than we do
        return LayerUnavailable(f"{name}: {', '.join(map(str, arguments))}")


# --- publishing ------------------------------------------------------------------------------------------------------


class _Publishing:
    """Whoever waits at the other end of the line for a publish to find room."""

    __slots__ = ("_channel", "_client", "_token", "result")

    def __init__(self, client: Client, token: int, channel: str) -> None:
        self.result: Any = UNSETTLED
        self._client = client
        self._token = token
        self._channel = channel

    def wake(self) -> bool:
        """Answer; the result is "" or why there was no room."""
        if self._client.publishing.pop(self._token, None):
            if self.result is LayerUnavailable:
                self._client.put(failure(self._token, LayerUnavailable("the hub stops")))
            elif isinstance(self.result, FairwayError):
                self._client.put(failure(self._token, self.result))
            elif self.result:
                self._client.put(failure(self._token, ChannelFull(self._channel, self.result)))
            else:
                self._client.put(Answer(self._token))
        return True


def publish(
    client: Client,
    locked: LockedBroker,
    token: int,
    effect: Effect,
    timeout: float,
    command: Callable[..., int],
    *args: Any,
) -> None:
    """Run a publishing command of the broker, and answer when it is settled."""

    def run() -> int:
        now = time.monotonic()
        waiting = command(*args, now, now + min(timeout, LONGEST_WAIT) if timeout > 0 else None)
        if waiting and isinstance(effect, Send):
            client.publishing[token] = effect.channel, waiting
            locked.waiting[waiting] = _Publishing(client, token, effect.channel)
        return waiting

    try:
        waiting = locked.run(run)
    except FairwayError as error:
        client.put(failure(token, error))
        return
    if not waiting:
        client.put(Answer(token))


# --- questions and the rest ------------------------------------------------------------------------------------------


class _Question:
    """A question that owners are asked for a client: it is answered when all have answered, or the time is over."""

    def __init__(self, client: Client, token: int, found: Any) -> None:
        self._client = client
        self._token = token
        self._found = found
        self._open: set[int] = set()
        self._locked: LockedBroker | None = None

    def ask(self, locked: LockedBroker, tokens: Iterable[int]) -> bool:
        """Wait for the owners' answers; return whether there are any to wait for. Called under the lock."""
        self._locked = locked
        for token in tokens:
            self._open.add(token)
            locked.waiting[token] = _OwnersAnswer(self, token)
        return bool(self._open)

    def answered(self, token: int, answer: Any) -> None:
        """Take the answer of one owner; None when it is gone."""
        if token not in self._open:
            return
        self._open.discard(token)
        if answer is LayerUnavailable:
            self._finish(failure(self._token, LayerUnavailable("the hub stops")))
            return
        if isinstance(answer, list) and isinstance(self._found, list):
            self._found += answer
        elif isinstance(answer, dict) and isinstance(self._found, dict):
            self._found |= answer
        if not self._open:
            self._finish(Answer(self._token, self._found))

    def expire(self, timeout: float) -> None:
        """Give up."""
        if self._open:
            msg = f"a server did not answer a question about its connections within {timeout:g} s"
            self._finish(failure(self._token, LayerUnavailable(msg)))

    def _finish(self, answer: Answer) -> None:
        if self._locked:
            self._locked.forget(self._open)
        self._open.clear()
        self._client.put(answer)


class _OwnersAnswer:
    """Waits for one owner."""

    __slots__ = ("_question", "_token", "result")

    def __init__(self, question: _Question, token: int) -> None:
        self.result: Any = UNSETTLED
        self._question = question
        self._token = token

    def wake(self) -> bool:
        """Pass the answer on."""
        self._question.answered(self._token, self.result)
        return True


def _members(client: Client, layer: "MemoryLayer", call: Call) -> None:
    group = check_group(*call.arguments)

    def ask() -> tuple[_Question, bool]:
        found, tokens = layer.broker.owners.ask_members(group)
        question = _Question(client, call.token, found)
        if question.ask(layer.locked, tokens):
            return question, True
        client.put(Answer(call.token, found))
        return question, False

    _wait(layer, *layer.locked.run(ask))


def _state(client: Client, layer: "MemoryLayer", call: Call) -> None:
    channel = check_channel(*call.arguments)

    def ask() -> tuple[_Question, bool]:
        token = layer.broker.owners.ask_state(channel)
        question = _Question(client, call.token, {})
        if question.ask(layer.locked, [token] if token else []):
            return question, True
        client.put(Answer(call.token, {}))
        return question, False

    _wait(layer, *layer.locked.run(ask))


def _wait(layer: "MemoryLayer", question: _Question, is_open: bool) -> None:  # noqa: FBT001
    if is_open:
        asyncio.get_running_loop().call_later(layer.answer_timeout, question.expire, layer.answer_timeout)


def _flush(client: Client, layer: "MemoryLayer", call: Call) -> None:
    layer.locked.run(client.empty_hub)
    client.put(Answer(call.token))


def _plain(verb: str) -> Callable[[Client, "MemoryLayer", Call], None]:
    """Return what answers a call with the result of the layer's method of the same name."""

    def answer(client: Client, layer: "MemoryLayer", call: Call) -> None:
        value = getattr(layer, verb)(*call.arguments)
        client.put(Answer(call.token, msgspec.to_builtins(value, builtin_types=(bytes,))))

    return answer


_VERBS: dict[str, Callable[[Client, "MemoryLayer", Call], None]] = {
    "group_channels": _members,
    "state": _state,
    "flush": _flush,
    **{
        verb: _plain(verb)
        for verb in ("group_add", "group_discard", "statistics", "dead_letters", "requeue_dead", "drop_dead")
    },
}


def call(client: Client, layer: "MemoryLayer", frame: Call) -> None:
    """Do what a client asks for, and answer."""
    act = _VERBS.get(frame.verb)
    try:
        if act is None:
            msg = f"this hub has no {frame.verb!r}: it is older than its client"
            raise LayerUnavailable(msg)
        if layer.locked.joined:
            layer.locked.joined.run(_call_joined(client, layer.locked.joined, frame))
        else:
            act(client, layer, frame)
    except FairwayError as error:
        client.put(failure(frame.token, error))
    except (TypeError, ValueError, OverflowError) as error:
        client.put(failure(frame.token, _unfit(frame, error)))


def _unfit(frame: Call, error: Exception) -> InvalidName:
    return InvalidName(f"{frame.verb}: {error}")


# --- a hub that is joined with others --------------------------------------------------------------------------------


async def _call_joined(client: Client, joined: "Upstream", frame: Call) -> None:
    """Do what a client asks for, here and on other hosts, and answer."""
    try:
        if frame.verb == "flush":
            joined.locked.run(client.empty_hub)
        value = await getattr(joined.answers, frame.verb)(*frame.arguments)
        client.put(Answer(frame.token, msgspec.to_builtins(value, builtin_types=(bytes,))))
    except FairwayError as error:
        client.put(failure(frame.token, error))
    except (TypeError, ValueError, OverflowError) as error:
        client.put(failure(frame.token, _unfit(frame, error)))


def tell_when_known(client: Told, locked: LockedBroker, token: int, what: str, number: int) -> None:
    """Answer a client whose new owner, or session, other hosts have to know; at once where there are none.

    Parameters:
        what: "owners" or "sessions".
        number: of the owner or the session.
    """
    if locked.joined:
        locked.joined.run(_tell_when_known(client, token, getattr(locked.joined, what).wait_known(number)))
    else:
        client.put(Answer(token))


async def _tell_when_known(client: Told, token: int, known: Awaitable[None]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KNOWN_TIMEOUT):
            await known
    client.put(Answer(token))
