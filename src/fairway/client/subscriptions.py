"""The groups that somebody listens to. The server forgets them with the socket, so each new one is told again.

Listeners to one group share it at the server: the first asks for it, the last one leaves it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Self
from weakref import WeakSet

from fairway.client.deadlines import within
from fairway.client.feeds import Feed, Overflow
from fairway.client.frames import Push, encode
from fairway.client.requests import Requests, Waiting
from fairway.errors import BadFrame, ClientClosed, ConnectionLost
from fairway.limits import ClientLimits

Group = Mapping[str, Any]
"""What the application calls a group: usually a type and an id."""


class Subscription(Feed[Push]):
    """The changes that one group is told of, on this connection and the next ones: an asynchronous iterator.

    It begins when the server agrees, which `await` or `async with` waits for; the latter leaves the group at its end.
    What the server tells while there is no connection is missed: whoever needs to know looks anew at each `open`.
    When the server refuses it on a later connection the iteration raises `RequestFailed`.
    """

    def __init__(self, subscriptions: "Subscriptions", group: Group, timeout: float, overflow: Overflow) -> None:
        super().__init__(f"the subscription of {dict(group)!r:.100}", subscriptions.limits, overflow)
        self.group = dict(group)
        # The order of the keys means nothing.
        self.key = encode(dict(sorted(group.items())), "the group", subscriptions.limits.max_message)
        self.name = ""
        """The name by which the server knows the group, once it has agreed."""
        self._subscriptions = subscriptions
        self._timeout = timeout

    def __await__(self) -> Generator[Any, None, Self]:
        return self._subscribed().__await__()

    async def __aenter__(self) -> Self:
        return await self._subscribed()

    async def __aexit__(self, *_: object) -> None:
        await self.unsubscribe()

    async def _subscribed(self) -> Self:
        await self._subscriptions.add(self, self._timeout)
        return self

    async def unsubscribe(self) -> None:
        """End it, and wait until the server has heard of that; without a connection there is nothing to wait for.

        Raises:
            RequestFailed, TimedOut: the server did not agree. It is ended here all the same.
        """
        self.close()
        await self._subscriptions.remove(self, self._timeout)


class Shared:
    """A group, as the server is asked for it.

    Parameters:
        group: as the application calls it.
        key: the same as text.
    """

    def __init__(self, group: Group, key: bytes) -> None:
        self.group = group
        self.key = key
        self.name = ""
        self.is_agreed = False
        self.asking: Waiting | None = None
        # Weak: one that nobody holds any more is forgotten.
        self.listeners: WeakSet[Subscription] = WeakSet()
        self.waiters: set[asyncio.Future[None]] = set()


class Subscriptions:
    """All groups of a client.

    Parameters:
        requests: how the server is asked.
        limits: how much each subscription holds.
        failed: told of what no caller is waiting for.
    """

    def __init__(self, requests: Requests, limits: ClientLimits, failed: Callable[[Exception], None]) -> None:
        self.limits = limits
        self._requests = requests
        self._failed = failed
        self._by_group: dict[bytes, Shared] = {}
        # Two groups of the application may be one to the server.
        self._by_name: dict[str, set[Shared]] = {}

    async def add(self, subscription: Subscription, timeout: float) -> None:
        """Listen to a group, once the server has agreed.

        Raises: what `Client.subscribe` raises.
        """
        shared = self._by_group.get(subscription.key)
        if shared is None:
            shared = Shared(subscription.group, subscription.key)
            self._follow(shared, self._requests.begin("subscribe", shared.group, idempotent=True))
            self._by_group[shared.key] = shared
        shared.listeners.add(subscription)
        if not shared.name:
            await self._agreed(shared, subscription, timeout)
        subscription.name = shared.name

    async def remove(self, subscription: Subscription, timeout: float) -> None:
        """Listen no longer.

        Raises:
            RequestFailed, TimedOut: the server did not agree.
        """
        shared = self._by_group.get(subscription.key)
        if shared is None or subscription not in shared.listeners:
            return
        shared.listeners.discard(subscription)
        if shared.listeners:
            return
        leaving = self._leave(shared)
        if leaving is not None:
            with contextlib.suppress(ConnectionLost, ClientClosed):
                # Not withdrawn when nobody waits for it any more: the server is to hear of it.
                await within(leaving.future, timeout, lambda: f"no answer to {leaving.what}")

    def opened(self) -> None:
        """Tell a new connection of all groups, but for those that are being asked for anyway."""
        agreed = [shared for shared in self._by_group.values() if shared.is_agreed]
        made = self._requests.begin_first("subscribe", [shared.group for shared in agreed], idempotent=True)
        for shared, waiting in zip(agreed, made, strict=True):
            shared.is_agreed = False
            self._follow(shared, waiting)

    def push(self, push: Push, size: int) -> None:
        """Tell the listeners of a change."""
        for shared in list(self._by_name.get(push.group, ())):
            listeners = list(shared.listeners)
            if not listeners:
                self._leave(shared)
            for listener in listeners:
                listener.put(push, size)

    def closed(self, error: Exception | None) -> None:
        """There will be no connection: end all of them."""
        for shared in self._by_group.values():
            for listener in list(shared.listeners):
                listener.end(error)
        self._by_group.clear()
        self._by_name.clear()

    async def _agreed(self, shared: Shared, subscription: Subscription, timeout: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shared.waiters.add(future)
        try:
            await within(future, timeout, lambda: f"no answer to the request for {subscription.group!r:.100}")
        except BaseException:
            shared.listeners.discard(subscription)
            if not shared.listeners:
                self._leave(shared)
            raise
        finally:
            shared.waiters.discard(future)

    def _follow(self, shared: Shared, asking: Waiting) -> None:
        shared.asking = asking
        asking.then = lambda answer, error: self._answered(shared, answer, error)

    def _answered(self, shared: Shared, answer: Any, error: Exception | None) -> None:
        if isinstance(error, ClientClosed) and shared.name:
            return  # `closed` sees to it
        shared.asking = None
        name = answer.get("group") if isinstance(answer, dict) else None
        if isinstance(name, str):
            self._agree(shared, name)
        else:
            self._refuse(shared, error or BadFrame(answer))

    def _agree(self, shared: Shared, name: str) -> None:
        self._unname(shared)
        shared.name = name
        shared.is_agreed = True
        self._by_name.setdefault(name, set()).add(shared)
        for waiter in shared.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _refuse(self, shared: Shared, error: Exception) -> None:
        self._forget(shared)
        for waiter in shared.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        if shared.name:  # it was known on an earlier connection
            for listener in list(shared.listeners):
                listener.end(error)
            self._failed(error)

    def _leave(self, shared: Shared) -> Waiting | None:
        """Forget a group; return the request that tells the server of it, if it may know of the group."""
        if not self._forget(shared):
            return None
        asking, shared.asking = shared.asking, None
        is_unknown = asking is not None and self._requests.withdraw(asking)
        if asking is not None:
            asking.then = None
        if is_unknown or not self._requests.is_open:
            return None
        (leaving,) = self._requests.begin_first("unsubscribe", [shared.group], idempotent=False)
        return leaving

    def _forget(self, shared: Shared) -> bool:
        """Forget a group. Returns whether it was known; another may have taken its place."""
        self._unname(shared)
        if self._by_group.get(shared.key) is not shared:
            return False
        del self._by_group[shared.key]
        return True

    def _unname(self, shared: Shared) -> None:
        known = self._by_name.get(shared.name, set())
        known.discard(shared)
        if not known:
            self._by_name.pop(shared.name, None)
