"""What runs, told to a person."""

import asyncio
import logging
import threading

from fairway.broker.effects import Delivery, Envelope, Policy
from fairway.layers.codec import encode_message
from fairway.worker.running import LONGEST_STACK, Running, coroutine_stack, name_all, report_stuck, thread_stack


def running(seconds=1.0, name="m1", **envelope):
    body = encode_message({"path": "/chat/"})
    return Running(Delivery(Envelope(name, "websocket.receive", **envelope), body, 1), seconds, "fairway-worker-1")


def test_one_is_told_with_channel_path_message_time_and_place():
    text = "channel websocket.receive, path '/chat/', message m1, attempt 1, for 12 s in fairway-worker-1"
    assert str(running(12.3)) == text


def test_the_longest_come_first_and_not_all_are_named():
    text = name_all(running(seconds, f"m{seconds}") for seconds in range(8))
    assert text.index("m7") < text.index("m6")
    assert text.endswith("; and 3 more")
    assert name_all([running()]) == str(running())


def test_a_report_tells_what_becomes_of_the_message(caplog):
    report_stuck(running(31), 30, "the stack")
    report_stuck(running(31, policy=Policy.ONCE), 30, "the stack")

    again, once = (record.getMessage() for record in caplog.records)
    assert again.startswith(f"over the time limit of 30 s: {running(31)}. This process finishes")
    assert again.endswith("its message goes to another worker as attempt 2, if it has one left.\nthe stack")
    assert "its message is lost, since it may not run twice" in once
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_the_stack_of_a_thread_ends_where_it_is():
    began, go = threading.Event(), threading.Event()

    def wait_here():
        began.set()
        go.wait(30)

    thread = threading.Thread(target=wait_here)
    thread.start()
    began.wait(30)
    stack = thread_stack(thread)
    go.set()
    thread.join()

    assert stack.startswith("Stack (most recent call last):\n")
    assert stack.index("in wait_here") < stack.index("in wait\n")
    assert thread_stack(thread) == ""
    assert thread_stack(None) == ""


def test_a_deep_stack_is_cut_to_its_innermost_frames():
    def dive(depth):
        return rise(depth - 1) if depth else thread_stack(threading.current_thread())

    def rise(depth):  # another line, since equal ones are shown once
        return dive(depth - 1)

    stack = dive(100)
    assert stack.count("  File ") == LONGEST_STACK
    assert "in thread_stack" in stack


async def inner(event):
    await event.wait()


async def outer(event):
    await inner(event)


async def test_the_stack_of_a_coroutine_goes_down_to_what_it_waits_for():
    event = asyncio.Event()
    task = asyncio.create_task(outer(event))
    await asyncio.sleep(0)
    stack = coroutine_stack(task.get_coro(), threading.current_thread())
    event.set()
    await task

    assert stack.index("in outer") < stack.index("in inner") < stack.index("in wait\n")


async def test_the_stack_of_a_coroutine_that_runs_is_that_of_its_thread():
    async def run():
        return coroutine_stack(asyncio.current_task().get_coro(), threading.current_thread())

    assert "in run\n" in await asyncio.create_task(run())
