"""Progress to the browser: a task, or any consumer, says in one line how far it is.

::

    for number, row in enumerate(rows, start=1):
        read(row)
        report_progress("import-7", number, len(rows), ship=row.ship)

Every socket in the group gets a text frame with one JSON object::

    {"progress": "import-7", "done": 57, "total": 200, "percent": 28, "ship": "Long Division"}

A report leaves at once: neither with the commit of the consumer nor with that of a transaction, when all would be over.
A row takes a microsecond or a minute, so reports are counted out here and nobody has to think of it in the loop: at
most 20 a second leave for a group and process, which is as much as an eye can follow. What is held back costs two
microseconds, is not even encoded, and is not sent later: the next report says more. The first one of a group always
leaves, and so does the last, the one that is done or has an `error`.

Progress is decoration. A layer that is away ends no task: the log says so, and the work goes on.
"""

import json
import logging
from collections import OrderedDict
from math import isfinite
from threading import Lock
from time import monotonic
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from fairway.channel import Group
from fairway.errors import LayerUnavailable
from fairway.layers.base import Layer

logger = logging.getLogger("fairway.tasks")

INTERVAL = 0.05
"""Seconds between two reports of a group."""

AFTER_FAILURE = 30.0
"""Seconds without a report of a group that could not be sent one: each attempt may have to wait for the layer."""

GROUPS = 1_000
"""So many groups are remembered. The one that was sent nothing for longest is forgotten; it may then be sent a report
too early."""

_OWN = ("progress", "percent")

_Key = tuple[Layer, str]


class Pace:
    """When the next report of each group may leave."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._earliest: OrderedDict[_Key, float] = OrderedDict()

    def takes(self, key: _Key) -> bool:
        """Whether a report may leave now. If so, the next one may not before `INTERVAL` is over."""
        now = monotonic()
        with self._lock:
            if now < self._earliest.get(key, now):
                return False
            self._set(key, now + INTERVAL)
        return True

    def end(self, key: _Key) -> None:
        """Forget a group: what is reported next is the first report of something new."""
        with self._lock:
            self._earliest.pop(key, None)

    def rest(self, key: _Key) -> None:
        """Let nothing leave for a while."""
        with self._lock:
            self._set(key, monotonic() + AFTER_FAILURE)

    def _set(self, key: _Key, earliest: float) -> None:
        self._earliest[key] = earliest
        self._earliest.move_to_end(key)
        if len(self._earliest) > GROUPS:
            self._earliest.popitem(last=False)


_pace = Pace()


def report_progress(group: Group | str, done: float, total: float, **more: Any) -> None:
    """Tell the sockets in a group how far the work is.

    Parameters:
        group: the group, or its name.
        done: how much is done; 0 or more. Above `total` it counts as all.
        total: how much there is to do; 0 or more.
        more: goes to the browser as well: what Django's JSON encoder can write, which includes dates, decimals, UUIDs
            and lazy texts. With `error` the report is the last one, wherever the work is.

    Raises:
        ValueError: a wrong number, or a name in `more` that the report itself uses.
        TypeError: `done` or `total` is no number, or something in `more` is nothing for JSON.
        InvalidName, MessageTooLarge: as `Group.send`.
    """
    target = group if isinstance(group, Group) else Group(group)
    frame = _frame(target, done, total, more)
    if frame is None:
        return
    try:
        target.send(frame, immediately=True)
    except LayerUnavailable as error:
        _failed(target, error)


async def areport_progress(group: Group | str, done: float, total: float, **more: Any) -> None:
    """Do as `report_progress`."""
    target = group if isinstance(group, Group) else Group(group)
    frame = _frame(target, done, total, more)
    if frame is None:
        return
    try:
        await target.asend(frame, immediately=True)
    except LayerUnavailable as error:
        _failed(target, error)


def _check(done: float, total: float, more: dict[str, Any]) -> None:
    for name, value in (("done", done), ("total", total)):
        if not isinstance(value, int | float) or isinstance(value, bool):
            msg = f"{name} is a number, not {type(value).__name__}: {value!r:.100}"
            raise TypeError(msg)
        if not isfinite(value) or value < 0:
            msg = f"{name} is 0 or more, not {value!r}"
            raise ValueError(msg)
    for name in _OWN:
        if name in more:
            msg = f"a report has a {name!r} of its own; call it by another name"
            raise ValueError(msg)


def _frame(group: Group, done: float, total: float, more: dict[str, Any]) -> dict[str, Any] | None:
    """Return what to send; None when it is not this report's turn."""
    _check(done, total, more)
    key = (group.channel_layer, group.name)
    all_done = done >= total
    if all_done or "error" in more:
        _pace.end(key)
    elif not _pace.takes(key):
        return None
    # Rounded down, so that 100 means that all is done.
    percent = 100 if all_done else min(99, int(100 * done / total))
    report = {"progress": group.name, "done": done, "total": total, "percent": percent, **more}
    # NaN is no JSON: a browser could not read it.
    text = json.dumps(report, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return {"text": text}


def _failed(group: Group, error: LayerUnavailable) -> None:
    _pace.rest((group.channel_layer, group.name))
    logger.warning(
        "No progress was reported to the group %r, and none will be for %d s: %s", group.name, AFTER_FAILURE, error
    )
