"""Worker processes that live for a fraction of a second: forked, killed at a random instant, and forked again.

Usage: nursery.py FOLDER CHILDREN LIFE SILENCE SEED URL…, where LIFE is how many seconds pass between two deaths, on
average, and each child is at one of the URLs. What they consume is told by `talk`, as in the project, but without
Django, so that a worker is there within milliseconds. For each death a byte is appended to FOLDER/deaths: `k` for a
`kill -9`, `s` for a process that was stopped for longer than SILENCE, and found itself taken for dead when it went on.
"""

import contextlib
import itertools
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1])
os.environ["SITE"] = str(FOLDER)
sys.path.insert(0, str(Path(__file__).with_name("site")))

import records  # noqa: E402
import talk  # noqa: E402

from fairway.broker.effects import GroupSend, SaveState, Send  # noqa: E402
from fairway.errors import ConsumeLater  # noqa: E402
from fairway.layers.codec import decode_message, encode_message, pack_value, unpack_value  # noqa: E402
from fairway.layers.hub import turns  # noqa: E402
from fairway.worker.loop import Worker  # noqa: E402
from tests.support.berths import reach  # noqa: E402

STOPS = 0.02
"""Which part of the deaths are stops."""

RUNS = 150
"""Bytes that the record of runs grows between two deaths, at least: two lines."""

PAUSE = 0.003


class Consumers:
    """An application as the worker wants it, without Django."""

    channels = ("websocket.connect", "websocket.receive", "websocket.disconnect", "tally", "job")
    companions = ()

    def __init__(self, layer):
        self.layer = layer

    def prepare(self, delivery):
        return Call(self.layer, delivery)

    def time_limit(self, delivery):
        return math.inf

    def leave_thread(self):
        pass


class Call:
    is_coroutine = False
    retry = None

    def __init__(self, layer, delivery):
        self.layer = layer
        self.envelope = delivery.envelope
        self.message = decode_message(delivery.body)

    def run(self, outbox):
        self.outbox = outbox
        envelope = self.envelope
        records.note(envelope.channel, envelope.id, envelope.retries, envelope.attempt)
        getattr(self, envelope.channel.rpartition(".")[2])()

    def send(self, channel, content):
        self.outbox.append(Send(channel, encode_message(content)), self.layer)

    def answer(self, **content):
        content |= {"attempt": self.envelope.attempt, "pid": os.getpid()}
        self.send(self.envelope.reply_channel, {"text": json.dumps(content)})

    def room(self, socket):
        return f"room-{socket // talk.ROOM}"

    def save(self, **state):
        changes = {key: pack_value(value, key) for key, value in state.items()}
        self.outbox.append(SaveState(self.envelope.reply_channel, changes), self.layer)

    def connect(self):
        socket = int(self.message["path"].rpartition("/")[2])
        self.save(handled=0, socket=socket)
        self.layer.group_add(self.room(socket), self.envelope.reply_channel)
        self.send(self.envelope.reply_channel, {"accept": True})

    def receive(self):
        number = int(self.message["text"])
        if talk.comes_later(number) and not self.envelope.retries:
            raise ConsumeLater
        handled, socket = (unpack_value(self.envelope.state[key]) for key in ("handled", "socket"))
        self.answer(part=1, number=number, handled=handled)
        self.save(handled=handled + 1)
        if talk.dawdles(number):
            time.sleep(PAUSE)
        if talk.tells_room(number):
            body = encode_message({"text": json.dumps({"room": [socket, number]})})
            self.outbox.append(GroupSend(self.room(socket), body), self.layer)
        else:
            self.send("tally", {"number": number, "reply": self.envelope.reply_channel})
        self.answer(part=2, number=number)

    def disconnect(self):
        pass

    def tally(self):
        content = {"tally": self.message["number"], "attempt": self.envelope.attempt}
        self.send(self.message["reply"], {"text": json.dumps(content)})

    def job(self):
        number = self.message["number"]
        if talk.comes_later(number) and self.envelope.retries:
            return  # what it sent in its first run has left with the request to come again
        self.send("done", {"number": number, "part": 1})
        if talk.dawdles(number):
            time.sleep(PAUSE)
        self.send("done", {"number": number, "part": 2})
        if talk.comes_later(number):
            raise ConsumeLater


def live(url, silence):
    """Be a worker, until death."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    layer = reach(url, 30, silence)
    Worker(layer, Consumers(layer), threads=2).start()
    while True:
        signal.pause()


class Nursery:
    def __init__(self, size, life, silence, urls):
        self.size = size
        self.life = life
        self.silence = silence
        self.urls = itertools.cycle(urls)
        self.children = set()
        self.stopped = {}
        """Process -> when it goes on."""
        self.runs = FOLDER / "runs"
        self.deaths = os.open(FOLDER / "deaths", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(self):
        while True:
            while len(self.children) + len(self.stopped) < self.size:
                self.fork()
            time.sleep(random.expovariate(1 / self.life))
            self.let_work()
            self.let_go_on()
            if self.children:
                self.end(random.choice(tuple(self.children)))

    def let_work(self):
        """Wait for a few runs, as on a busy machine death would otherwise be faster than any work."""
        aim, deadline = self.runs.stat().st_size + RUNS, time.monotonic() + 1
        while self.runs.stat().st_size < aim and time.monotonic() < deadline:
            time.sleep(0.002)

    def fork(self):
        url = next(self.urls)
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                live(url, self.silence)
            os._exit(1)
        self.children.add(child)

    def end(self, child):
        if random.random() < STOPS:
            os.kill(child, signal.SIGSTOP)
            self.children.discard(child)
            self.stopped[child] = time.monotonic() + self.silence * random.uniform(0.5, 3)
            os.write(self.deaths, b"s")
            return
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.children.discard(child)
        os.write(self.deaths, b"k")

    def let_go_on(self):
        now = time.monotonic()
        for child in [child for child, at in self.stopped.items() if at <= now]:
            del self.stopped[child]
            os.kill(child, signal.SIGCONT)
            self.children.add(child)


if __name__ == "__main__":
    size, life, silence, seed = (float(number) for number in sys.argv[2:6])
    turns.PING_EVERY = silence / 5
    random.seed(int(seed))
    Nursery(size, life, silence, sys.argv[6:]).run()
