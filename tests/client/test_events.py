"""Handlers are called in order, as often as they want to be, and none can spoil another."""

import logging

import pytest

from fairway.client.events import Emitter


@pytest.fixture
def emitter():
    return Emitter()


def test_handlers_are_called_in_their_order_until_they_leave(emitter):
    told = []
    end = emitter.on("open", lambda detail: told.append(("first", detail)))
    second = told.append
    emitter.on("open", second)
    assert emitter.emit("open", 1) is True
    end()
    emitter.off("open", second)
    emitter.off("open", second)
    assert emitter.emit("open", 2) is False
    assert told == [("first", 1), 1]


def test_one_for_one_time_is_called_once_and_may_come_back(emitter):
    told = []

    def again(detail):
        told.append(detail)
        if detail < 2:
            emitter.once("error", again)

    emitter.once("error", again)
    leave = emitter.once("error", told.append)
    leave()
    assert [emitter.emit("error", number) for number in (1, 2, 3)] == [True, True, False]
    assert told == [1, 2]


def test_one_that_raises_is_logged_and_spoils_no_other(emitter, caplog):
    told = []
    emitter.on("message", lambda _: 1 / 0)
    emitter.on("message", told.append)
    with caplog.at_level(logging.ERROR, "fairway.client"):
        assert emitter.emit("message", "x") is True
    assert told == ["x"]
    assert "a handler of the event 'message' failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_coroutine_function_is_refused_because_nobody_would_await_it(emitter):
    async def handler(detail):
        """Never run."""

    with pytest.raises(TypeError, match=r"a plain function, not the coroutine function .*handler"):
        emitter.on("open", handler)
