"""Routing for one test, in the place of what the setting names."""

import functools
import inspect
import unittest
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.routing import Include
from fairway.testing.layers import routing_replaced

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class apply_routes:  # noqa: N801  used as a function
    """A context manager, and a decorator of functions, coroutine functions and classes of test cases.

    Parameters:
        routes: a route, a list of routes, or a list of lists of routes.
        aliases: the layers for which it holds.

    Raises:
        ImproperlyConfigured: an entry is no routing.
    """

    def __init__(self, routes: Any, aliases: Sequence[str] | str = (DEFAULT_CHANNEL_LAYER,)) -> None:
        entries = routes if isinstance(routes, list | tuple) else [routes]
        self._routing = [Include(list(entry)) if isinstance(entry, list | tuple) else entry for entry in entries]
        Include(self._routing)  # what is wrong is wrong on this line
        self._aliases = [aliases] if isinstance(aliases, str) else list(aliases)
        self._stacks: list[ExitStack] = []

    def __enter__(self) -> Self:
        stack = ExitStack()
        for alias in self._aliases:
            stack.enter_context(routing_replaced(alias, list(self._routing)))
        self._stacks.append(stack)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stacks.pop().close()

    def __call__(self, decorated: Decorated) -> Decorated:
        """Decorate a function, a coroutine function, or a class (then it holds for each test and its `setUp`)."""
        if isinstance(decorated, type):
            self._decorate_class(decorated)
            return cast("Decorated", decorated)
        if inspect.iscoroutinefunction(decorated):

            @functools.wraps(decorated)
            async def acall(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await decorated(*args, **kwargs)

            return cast("Decorated", acall)

        @functools.wraps(decorated)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return decorated(*args, **kwargs)

        return cast("Decorated", call)

    def _decorate_class(self, case: type) -> None:
        if not issubclass(case, unittest.TestCase):
            msg = f"apply_routes decorates functions and test cases, and {case.__name__} is none; decorate its methods"
            raise TypeError(msg)
        set_up = case.setUp

        def enter_and_set_up(test: unittest.TestCase) -> None:
            test.enterContext(self)
            set_up(test)

        functools.update_wrapper(enter_and_set_up, set_up)
        case.setUp = enter_and_set_up  # type: ignore[method-assign,assignment]
