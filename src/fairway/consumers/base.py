"""What all class-based consumers share: from a channel to a method, with or without `async def`.

The class itself is the consumer: constructing it handles one message, and an instance lives as long as that. What has
to outlive it stands in `state`, which the server keeps for the connection.
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Self

from asgiref.sync import async_to_sync

from fairway.consumers.background import check_background
from fairway.consumers.calls import Decorator, decorated_once, is_coroutine_function, resolve
from fairway.message import Message
from fairway.routing import RouteClass
from fairway.worker.retries import Retry
from fairway.worker.state import ConnectionState


@lru_cache
def decorators_for(*, session_user: bool, session: bool) -> tuple[Decorator, ...]:
    """Return the decorators that stand for these attributes of a class."""
    if session_user:
        from fairway.auth import channel_session_user

        return (channel_session_user,)
    if session:
        from fairway.sessions import channel_session

        return (channel_session,)
    return ()


class StateAttributes:
    """A connection's state, with attributes for its keys: `self.state.room = "x"`."""

    __slots__ = ("_mapping",)

    _mapping: ConnectionState

    def __init__(self, mapping: ConnectionState) -> None:
        object.__setattr__(self, "_mapping", mapping)

    def __getattr__(self, name: str) -> Any:
        """Return a value.

        Raises:
            AttributeError: it was never set on this connection.
        """
        try:
            return self._mapping[name]
        except KeyError:
            msg = f"the state of this connection has no {name!r}; it has {', '.join(self._mapping) or 'nothing'}"
            raise AttributeError(msg) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value; raises as `ConnectionState` does."""
        self._mapping[name] = value

    def __delattr__(self, name: str) -> None:
        """Remove a value."""
        try:
            del self._mapping[name]
        except KeyError:
            raise AttributeError(name) from None

    def __contains__(self, name: object) -> bool:
        """Say whether a value is set."""
        return name in self._mapping

    def __repr__(self) -> str:
        """Show the keys only: values may be secrets."""
        return repr(self._mapping)


class BaseConsumer:
    """A consumer with a method for each channel.

    Parameters:
        message: the message to handle, at once. Where the method is `async def`, await the instance.
        kwargs: what the routing captured.
    """

    method_mapping: ClassVar[Mapping[str, str]] = {}
    """Channel name to the name of the method that handles its messages."""

    channel_session: bool = False
    """Give the message its `channel_session`."""

    channel_session_user: bool = False
    """Give the message its `channel_session` and the `user` in it."""

    guards: ClassVar[tuple[Decorator, ...]] = ()
    """Decorators between the session and the method: where those of `fairway.security` stand.

    They find the message among their first two arguments, behind `self`: each stands around a method once.
    """

    # Without values here: no consumer is asked before it fails, and the names are not kept from anybody's handlers.

    retry: ClassVar[Retry | int]
    """Try a message again when its method fails: how often, or a `Retry` with all the terms."""

    time_limit: ClassVar[float]
    """Seconds that one message may take."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check what the class says about its work in the background.

        Raises:
            TypeError, ValueError: `retry` or `time_limit` is wrong.
        """
        super().__init_subclass__(**kwargs)
        check_background(cls)

    def __init__(self, message: Message, **kwargs: Any) -> None:
        self.message = message
        self.kwargs = kwargs
        asked = message.asked
        self._is_coroutine = asked[1] if asked and asked[0] is type(self) else self.runs_as_coroutine(message)
        result = self.dispatch(message, **kwargs)
        if result is not None and not self._is_coroutine and inspect.iscoroutine(result):
            async_to_sync(resolve)(result)  # a method that did not look like a coroutine function
        self._result = result

    def __await__(self) -> Generator[Any, None, Self]:
        """Finish what the construction began, if that was a coroutine."""
        if self._is_coroutine and inspect.isawaitable(self._result):
            yield from self._result.__await__()
        return self

    @classmethod
    def channel_names(cls) -> set[str]:
        """Return the channels that the class handles."""
        return set(cls.method_mapping)

    @classmethod
    def as_route(cls, attrs: dict[str, Any] | None = None, **filters: str | bytes) -> RouteClass:
        """Return a route to this class, or to a subclass of the same name with other class attributes.

        Parameters:
            attrs: class attributes.
            filters: as those of `route_class`.

        Raises:
            AssertionError: `attrs` is no dict.
        """
        if attrs is None:
            return RouteClass(cls, **filters)
        if not isinstance(attrs, dict):
            msg = f"as_route(attrs=...) takes a dict of class attributes, not {type(attrs).__name__}: {attrs!r:.100}"
            raise AssertionError(msg)  # noqa: TRY004  the name it has always had
        attributes = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, **attrs}
        return RouteClass(type(cls.__name__, (cls,), attributes), **filters)

    @classmethod
    def runs_as_coroutine(cls, message: Message) -> bool:
        """Say whether an instance for this message has to be awaited."""
        return is_coroutine_function(getattr(cls, cls.method_mapping.get(message.channel_name or "", ""), None))

    @property
    def state(self) -> StateAttributes:
        """Attributes that live as long as the connection: what `message.state` holds.

        Raises:
            ValueError: the message came from no connection.
        """
        return StateAttributes(self.message.state)

    def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:  # noqa: ARG002  for who overrides it
        """Return what handles the message: the method of its channel, decorated. Override it to add decorators.

        It is a coroutine function where the method is one.

        Raises:
            KeyError: no method is for messages of this channel.
        """
        name = self.method_mapping.get(message.channel_name or "")
        if name is None:
            known = ", ".join(self.method_mapping) or "no channel"
            msg = f"{type(self).__qualname__} has no method for messages on {message.channel_name!r}; it is for {known}"
            raise KeyError(msg)
        method: Callable[..., Any] = getattr(self, name)
        decorators = (*self.guards, *self._decorators(message))
        return decorated_once(method, decorators, is_coroutine=self._is_coroutine)

    def _decorators(self, message: Message) -> tuple[Decorator, ...]:  # noqa: ARG002  for the classes below
        """Return the decorators of sessions and users that the class asks for, innermost first."""
        return decorators_for(session_user=self.channel_session_user, session=self.channel_session)

    def dispatch(self, message: Message, **kwargs: Any) -> Any:
        """Call the handler."""
        return self.get_handler(message, **kwargs)(message, **kwargs)
