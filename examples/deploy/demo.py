#!/usr/bin/env python
"""A deploy, watched from a thousand sockets.

This program starts `fairway up` with the project of this folder, opens the sockets, and has a conversation on each.
Meanwhile it deploys new code (`fairway reload`) and kills workers (`kill -9`). It ends with 0 when no socket
was closed, and no message lost, answered out of order, or consumed twice.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path

from conversations import Conversations
from screen import Screen

FAIRWAY = [sys.executable, "-m", "fairway.cli"]
HERE = Path(__file__).resolve().parent
START_TIMEOUT = 30

# When, as a part of the whole time, what happens.
STORY = [
    (0.12, "deploy"),
    (0.32, "kill"),
    (0.45, "kill"),
    (0.55, "deploy and kill"),
    (0.75, "kill all"),
    (0.88, "deploy"),
]


def options():
    parser = argparse.ArgumentParser(description="A deploy, watched from a thousand sockets.")
    parser.add_argument("--sockets", type=int, default=1000, help="conversations (1000)")
    parser.add_argument("--seconds", type=float, default=25, help="how long they go on (25)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (2)")
    parser.add_argument("--rate", type=float, default=1, help="messages a second in each conversation (1)")
    parser.add_argument("--log", default="", help="a file for what the server and the workers say")
    return parser.parse_args()


class Host:
    """`fairway up` with the project, in a folder of its own."""

    def __init__(self, folder, given):
        self._folder = folder
        self._given = given
        self._release = 0
        self._layer = f"--layer=local://{folder}/hub.sock"
        self._log = Path(given.log or folder / "log")
        self._process = None
        self.port = free_port()

    async def start(self):
        """Start everything, and wait until it is ready."""
        self._new_release()
        command = [*FAIRWAY, "up", self._layer, f"--bind=127.0.0.1:{self.port}", f"--workers={self._given.workers}"]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=HERE,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "DEMO_FOLDER": str(self._folder)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this program, which then stops that one
            )
        async with asyncio.timeout(START_TIMEOUT):
            while not (await self._status()).get("ready"):
                if self._process.returncode is not None:
                    raise SystemExit(f"fairway up does not start:\n{self._log.read_text()}")
                await asyncio.sleep(0.1)

    async def reload(self):
        """Deploy the next release."""
        self._new_release()
        code, output = await run("reload", self._layer)
        if code:
            raise SystemExit(f"fairway reload failed:\n{output}\n{self._log.read_text()[-2000:]}")

    async def workers(self):
        """The processes that work now."""
        found = (await self._status()).get("workers", ())
        return [worker["pid"] for worker in found if worker["state"] in ("ready", "stopping")]

    async def stop(self):
        """Stop everything."""
        if self._process and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    @property
    def release(self):
        return self._release

    def _new_release(self):
        self._release += 1
        (self._folder / "release").write_text(str(self._release))

    async def _status(self):
        _, output = await run("status", "--json", self._layer)
        return json.loads(output) if output.startswith("{") else {}


class Story:
    """What happens while the conversations go on."""

    def __init__(self, host, screen):
        self._host = host
        self._say = screen.say
        self.deploys = self.kills = 0

    async def tell(self, seconds):
        """Let everything happen in its time."""
        begin = asyncio.get_running_loop().time()
        for part, event in STORY:
            await asyncio.sleep(max(0, begin + part * seconds - asyncio.get_running_loop().time()))
            if event == "deploy":
                await self._deploy()
            elif event == "kill":
                await self._kill_one()
            elif event == "kill all":
                await self._kill_all()
            else:
                deploying = asyncio.create_task(self._deploy())
                await asyncio.sleep(0.1)
                await self._kill_one()
                await deploying
        await asyncio.sleep(max(0, begin + seconds - asyncio.get_running_loop().time()))

    async def _deploy(self):
        self.deploys += 1
        self._say(f"fairway reload: release {self._host.release + 1} starts; then release {self._host.release} goes")
        await self._host.reload()
        self._say(f"release {self._host.release} has taken over")

    async def _kill_one(self):
        workers = await self._host.workers()
        if workers:
            self._kill(random.choice(workers))

    async def _kill_all(self):
        self._say("nobody is left:")
        for worker in await self._host.workers():
            self._kill(worker)

    def _kill(self, worker):
        self.kills += 1
        self._say(f"kill -9 {worker}")
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            self._say("it had gone already")


async def run(*arguments):
    """Run a `fairway` command; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *FAIRWAY, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def show(screen):
    while True:
        await asyncio.sleep(screen.interval)
        screen.show()


async def play(given, folder):
    """Run the demo; return its exit code."""
    host = Host(folder, given)
    conversations = showing = None
    try:
        print(f"fairway up: a server, and {given.workers} workers with release 1 of the project …", flush=True)
        await host.start()
        print(f"{given.sockets:,} WebSockets to 127.0.0.1:{host.port}, a conversation on each:", flush=True)
        conversations = Conversations(f"ws://127.0.0.1:{host.port}/", given.sockets, given.rate)
        tally = conversations.tally
        screen = Screen(tally, given.sockets)
        showing = asyncio.create_task(show(screen))
        while tally.open + tally.closed < given.sockets:
            await asyncio.sleep(screen.interval)
        screen.say(f"{tally.open:,} sockets are open")
        story = Story(host, screen)
        await story.tell(given.seconds)
        screen.say("the last answers")
        await conversations.finish()
        showing.cancel()
        screen.show()
        screen.end()
        await conversations.leave()
        summarise(tally, story, given.sockets)
        return 1 if tally.faults else 0
    finally:
        if showing:
            showing.cancel()
        if conversations:
            conversations.cut()
        await host.stop()


def summarise(tally, story, sockets):
    workers = len(tally.by_worker)
    if tally.reason:
        print(f"the first socket that was closed said: {tally.reason}")
    print(
        f"\n{story.deploys} deploys and {story.kills} kills later: {sockets:,} sockets, {tally.closed} of them closed; "
        f"{tally.answered:,} messages answered by {workers} workers, {tally.repeated} of them run again;\n"
        f"{tally.lost} lost, {tally.disordered} out of order, {tally.doubled} consumed twice; "
        f"the longest wait was {tally.slowest:.2f} s.",
        flush=True,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    given = options()
    # A socket is a file to the system, and 1,024 files are what a process may open unless it asks for more.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: nothing may be left behind
        signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with tempfile.TemporaryDirectory(prefix="fairway-demo-") as folder:
        try:
            return asyncio.run(play(given, Path(folder)))
        except KeyboardInterrupt:
            print("\nstopped")
            return 130


if __name__ == "__main__":
    sys.exit(main())
