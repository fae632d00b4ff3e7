"""What stands in for `manage.py` in these tests: a worker with a plain application, and a delay server that does
nothing, without Django.

`behaviour.txt` beside it is the code that a deploy changes. Its first word: `echo` answers each message with the rest
of the file before it; `fail` does not start; `hang` is never ready; `slow` answers when a file named `go` appears;
with `unmigrated` only the delay server does not start; `mute` does not tell its layer.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from fairway.broker.effects import Send
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.registry import make_layer, parse_setting
from fairway.limits import WorkerLimits
from fairway.supervisor.notify import Notifier
from fairway.worker.loop import Worker
from fairway.worker.process import WorkerProcess

FOLDER = Path(__file__).resolve().parent


class Call:
    is_coroutine = False
    retry = None

    def __init__(self, delivery, word, text):
        self.delivery, self.word, self.text = delivery, word, text

    def run(self, outbox):
        channel, reply = self.delivery.envelope.channel, self.delivery.envelope.reply_channel
        if channel == "websocket.connect":
            answer = {"accept": True}
        elif channel == "websocket.receive":
            if self.word == "slow":
                while not (FOLDER / "go").exists():
                    time.sleep(0.01)
            answer = {"text": f"{self.text} {decode_message(self.delivery.body)['text']}"}
        elif channel == "http.request":
            answer = {"status": 200, "headers": [], "content": self.text.encode()}
        else:
            return
        outbox.append(Send(reply, encode_message(answer)), outbox.layer)


class Echo:
    channels = ("websocket.connect", "websocket.receive", "websocket.disconnect", "http.request")
    companions = ()

    def __init__(self, word, text):
        self.word, self.text = word, text

    def prepare(self, delivery):
        return Call(delivery, self.word, self.text)

    def time_limit(self, delivery):
        return math.inf

    def leave_thread(self):
        pass


def delay(notifier, word, text):
    if word == "unmigrated":
        sys.exit("CommandError: manage.py migrate")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    notifier.when_supervisor_dies(ended.set)
    print("delay server with", text, os.environ.get("DJANGO_SETTINGS_MODULE", ""), *sys.argv[1:], flush=True)
    notifier.ready()
    ended.wait()


def main():
    os.chdir(FOLDER)
    word, _, text = (FOLDER / "behaviour.txt").read_text().strip().partition(" ")
    if "--print-layer" in sys.argv:
        print("settings are read", file=sys.stderr)
        print("" if word == "mute" else (FOLDER / "layer.json").read_text())
        return
    notifier = Notifier()
    if sys.argv[1] == "rundelay":
        delay(notifier, word, text)
        return
    if word == "fail":
        raise SyntaxError(text)
    if word == "hang":
        signal.pause()
    url = json.loads((FOLDER / "layer.json").read_text())["url"]
    layer = make_layer(parse_setting("default", {"URL": url, "CONFIG": {"wait": 10}}))
    process = WorkerProcess([Worker(layer, Echo(word, text), threads=2)], WorkerLimits(grace=20), notifier)
    signal.signal(signal.SIGTERM, lambda *_: process.stop("SIGTERM"))
    notifier.when_supervisor_dies(lambda: process.stop("the supervisor is gone"))
    print("arguments:", " ".join(sys.argv[1:]), os.environ.get("DJANGO_SETTINGS_MODULE", ""), flush=True)
    process.run()


if __name__ == "__main__":
    main()
