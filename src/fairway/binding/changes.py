"""From what clients know of an object to what they see now: delete, update and create, sent on commit.

A group that could see an object and no longer can is told that it is deleted; one that still can gets an update; one
that could not gets it created. Messages are made at once, while the object is as it was stored, and leave when the
transaction commits; when it rolls back they never leave.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models import Model

from fairway.binding.watches import Watch
from fairway.channel import Group
from fairway.errors import LayerUnavailable

if TYPE_CHECKING:
    from fairway.binding.base import Binding

logger = logging.getLogger("fairway.binding")

CREATE = "create"
UPDATE = "update"
DELETE = "delete"

Groups = frozenset[str]
NOBODY: Groups = frozenset()


class Notes(dict[Any, Any]):
    """What was seen before a change, kept on an instance until after it. Copies and pickles do not take it along."""

    def __reduce__(self) -> tuple[type["Notes"], tuple[()]]:
        return Notes, ()


class Known:
    """What the clients know of one object: its row, and for each binding which groups have it.

    Of some groups that may be unsure, when saves of one instance are nested or one of them has failed. They get a
    create where others get an update, and a delete also when they may not have it.

    Parameters:
        watch: the bound model.
        row: the stored row, None when there is none.
    """

    __slots__ = ("_perhaps", "_surely", "row", "watch")

    def __init__(self, watch: Watch, row: Model | None) -> None:
        self.watch = watch
        self.row = row
        self._surely = {binding: groups_of(binding(), row) for binding in watch.bindings}
        self._perhaps = self._surely.copy()

    def note(self, row: Model | None) -> None:
        """Take a row into account that stands there though the clients were not yet told."""
        found = Known(self.watch, row)
        for binding in self.watch.bindings:
            self._surely[binding] = self._surely.get(binding, NOBODY) & found._surely[binding]
            self._perhaps[binding] = self._perhaps.get(binding, NOBODY) | found._perhaps[binding]
        self.row = self.row or row

    def tell(
        self,
        after: Model | None,
        using: str,
        signal_kwargs: dict[str, Any],
        *,
        updates: Callable[[type["Binding"]], bool] = lambda _binding: True,
    ) -> None:
        """Send the clients of every binding what has changed for them.

        Parameters:
            after: the row as it is stored now, None when it is gone.
            using: the database, whose commit is waited for.
            signal_kwargs: what the signal said.
            updates: which bindings send an update to groups that saw the object and still see it.
        """
        for kind in self.watch.bindings:
            binding = kind()
            binding.signal_kwargs = signal_kwargs
            groups = groups_of(binding, after)
            surely, perhaps = self._surely.get(kind, NOBODY), self._perhaps.get(kind, NOBODY)
            messages = _Messages(binding)
            messages.add(perhaps - groups, self.row, DELETE)
            if updates(kind):
                messages.add(surely & groups, after, UPDATE)
            messages.add(groups - surely, after, CREATE)
            messages.send_on_commit(using)
            self._surely[kind] = self._perhaps[kind] = groups
        self.row = after


class _Messages:
    """What one binding sends about one change, in order."""

    def __init__(self, binding: "Binding") -> None:
        self._binding = binding
        self._what = ""
        self._ready: list[tuple[Group, dict[str, Any]]] = []

    def add(self, groups: Groups, instance: Model | None, action: str) -> None:
        if not groups or instance is None:
            return
        self._binding.instance = instance
        payload = self._binding.serialize(instance, action)
        if payload == {}:
            return
        stream = self._binding.stream
        if stream is None:
            msg = f"{type(self._binding).__qualname__} has no stream to send on; give it one: stream = 'posts'"
            raise AssertionError(msg)
        self._what = f"a change of {self._binding.model_label} {instance.pk!r:.50}"
        message = self._binding.encode(stream, payload)
        self._ready += [(Group(name), message) for name in sorted(groups)]

    def send_on_commit(self, using: str) -> None:
        if self._ready:
            on_commit(self._send, using)

    def _send(self) -> None:
        for sent, (group, message) in enumerate(self._ready):
            try:
                group.send(message)
            except LayerUnavailable as error:
                untold = len(self._ready) - sent
                # Stored it is; who subscribes later sees it. The traceback would be that of whoever saved it.
                logger.error("%s is stored, but %d groups are not told: %s", self._what, untold, error)  # noqa: TRY400
                return


def groups_of(binding: "Binding", instance: Model | None) -> Groups:
    """Return the groups that may see an instance; nobody sees None.

    Raises:
        TypeError: `group_names` returned no list of names.
    """
    if instance is None:
        return NOBODY
    names: Any = binding.group_names(instance)
    if isinstance(names, str | bytes) or not hasattr(names, "__iter__"):
        msg = f"{type(binding).__qualname__}.group_names returns a list of group names, not {names!r:.100}"
        raise TypeError(msg)
    return frozenset(names)


def on_commit(function: Callable[[], None], using: str) -> None:
    """Call a function when the transaction commits: at once without one, never when it rolls back.

    What it raises is logged: the change is stored, and others wait for their turn. Where transactions are managed by
    hand nobody tells of a commit, and the function is called at once.
    """
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(function, using=using, robust=True)
    else:
        function()
