"""Reaching a broker that may be away: until a deadline, and once at least."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.hub.reaching import areach, reach


class Away:
    """A line whose broker is there after so many attempts."""

    def __init__(self, attempts: int) -> None:
        self.left = attempts
        self.closed = False
        self.pauses: list[float] = []

    @property
    def is_up(self) -> bool:
        return self.left <= 0

    def connect(self) -> None:
        self.left -= 1
        if not self.is_up:
            msg = "away"
            raise LayerUnavailable(msg)

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self.closed


async def in_thread(line: Away, wait: float) -> None:
    await asyncio.to_thread(reach, line, wait)


async def in_coroutine(line: Away, wait: float) -> None:
    await areach(line, time.monotonic() + wait)


Reach = Callable[[Away, float], Awaitable[None]]
both = pytest.mark.parametrize("act", [in_thread, in_coroutine])


@both
async def test_it_is_tried_until_it_is_there(act: Reach) -> None:
    line = Away(4)
    await act(line, 60)
    assert line.is_up
    await act(line, 60)
    assert line.left == 0


@both
async def test_it_is_tried_once_at_least(act: Reach) -> None:
    await act(Away(1), 0)
    line = Away(9)
    with pytest.raises(LayerUnavailable, match="away"):
        await act(line, 0)
    assert line.left == 8


@both
async def test_a_line_that_is_closed_is_tried_no_more(act: Reach) -> None:
    line = Away(9)
    line.closed = True
    with pytest.raises(LayerUnavailable, match="away"):
        await act(line, 60)
    assert line.left == 8


def test_pauses_grow_to_a_second() -> None:
    line = Away(9)
    reach(line, 60)
    assert line.pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
