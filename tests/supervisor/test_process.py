"""One child: what it says, how it ends, and that its output comes line by line."""

import asyncio
import os
import signal

import pytest

from fairway.supervisor import process
from fairway.supervisor.process import ChildProcess, LineCutter, Recipe, describe_exit, pass_on
from tests.supervisor.support import recipe
from tests.support.waiting import await_until

pytestmark = pytest.mark.usefixtures("loop_factory")


async def ended(text, **options):
    """A child that ran to its end."""
    child = ChildProcess(recipe(text, **options))
    async with asyncio.timeout(20):
        await child.ended.wait()
    return child


async def test_its_output_is_passed_on_with_its_name(capfd):
    child = await ended("print('one\\ntwo'); print('three', file=sys.stderr, end='')")
    assert capfd.readouterr().err == "child | one\nchild | two\nchild | three\n"
    assert (child.exit_code, list(child.tail)) == (0, ["one", "two", "three"])


async def test_a_child_that_outlives_us_has_our_output(capfd):
    child = await ended("print('one')", outlives_us=True)
    assert capfd.readouterr().out == "one\n"
    assert not child.tail


async def test_a_long_line_comes_in_pieces(monkeypatch, capfd):
    monkeypatch.setattr(process, "OUTPUT_LINE", 10)
    await ended("print('x' * 25)")
    assert capfd.readouterr().err == "child | xxxxxxxxxx\nchild | xxxxxxxxxx\nchild | xxxxx\n"


async def test_only_the_last_lines_are_kept(capfd):
    child = await ended("for number in range(100): print(number)")
    assert list(child.tail) == [str(number) for number in range(100 - process.TAIL, 100)]


async def test_a_flood_of_output_is_complete(capfd):
    await ended("sys.stdout.write('line\\n' * 50_000)")
    assert capfd.readouterr().err == "child | line\n" * 50_000


async def test_it_tells_that_it_is_ready_and_what_it_does():
    child = ChildProcess(recipe("notifier.status('busy'); notifier.report({'n': 1}); notifier.ready(); signal.pause()"))
    async with asyncio.timeout(20):
        await child.ready.wait()
    assert (child.status, child.report, child.exit_code) == ("busy", {"n": 1}, None)
    child.signal(signal.SIGTERM)
    await asyncio.wait_for(child.ended.wait(), 20)
    assert child.exit_code == 0
    child.signal(signal.SIGTERM)


async def test_nonsense_that_it_tells_is_ignored():
    child = await ended("os.write(notifier._supervisor, b'REPORT={\\n\\xff\\nFOO=1\\n=')")
    assert (child.status, child.report, child.ready.is_set()) == ("", {}, False)


async def test_a_killed_child():
    child = ChildProcess(recipe())
    async with asyncio.timeout(20):
        await child.ready.wait()
        child.signal(signal.SIGKILL)
        await child.ended.wait()
    assert child.exit_code == -signal.SIGKILL


async def test_it_is_in_a_group_of_its_own_and_gets_descriptors():
    reading, writing = os.pipe()
    text = f"os.write({writing}, str(os.getpgrp() == os.getpid()).encode()); print(os.environ['EXTRA'])"
    child = await ended(text, descriptors=[writing], environ={"EXTRA": "yes"})
    os.close(writing)
    assert os.read(reading, 100) == b"True"
    assert list(child.tail) == ["yes"]
    os.close(reading)


async def test_output_that_a_grandchild_holds_open_delays_no_end():
    text = """
        import subprocess
        print(subprocess.Popen(["sleep", "60"]).pid)
    """
    child = await ended(text)
    os.kill(int(child.tail[0]), signal.SIGKILL)


async def test_a_program_that_is_not_there():
    with pytest.raises(OSError, match="none-such"):
        ChildProcess(Recipe(name="x", command=["none-such"]))


async def test_no_more_reading_after_the_end_of_the_loop():
    """A child may outlive the loop that started it; its waiting thread then has nobody to tell."""
    child = ChildProcess(recipe())
    await await_until(child.ready.is_set)
    child._close()
    child._loop = asyncio.new_event_loop()
    child._loop.close()
    child.signal(signal.SIGKILL)
    await await_until(lambda: child._popen.returncode is not None)


@pytest.mark.parametrize(("code", "words"), [(1, "exit code 1"), (-9, "SIGKILL"), (-40, "signal 40")])
async def test_words_for_an_end(code, words):
    assert describe_exit(code) == words


async def test_output_that_nobody_reads_is_lost(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as broken:  # noqa: PTH123, ASYNC230
        monkeypatch.setattr("sys.stderr", broken)
        pass_on("lost\n")
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.close()


async def test_lines():
    taken = []
    cutter = LineCutter(5, taken.append)
    for piece in (b"a", b"b\nc", b"\n\n", b"1234567890123", b"\nrest"):
        cutter.feed(piece)
    cutter.flush()
    cutter.flush()
    assert taken == [b"ab", b"c", b"", b"12345", b"67890", b"123", b"rest"]
