"""Consumers of the project: conversations, and a path for each way in which a consumer ends."""

import asyncio
import json
import os
import time

import records
import talk

from fairway import Channel, Group
from fairway.consumers import Retry, background
from fairway.errors import ConsumeLater, DenyConnection

PAUSE = 0.02


def note(message):
    records.note(message.channel_name, message.id, message.retries, message.attempt)


def answer(message, **content):
    content |= {"attempt": message.attempt, "pid": os.getpid()}
    message.reply_channel.send({"text": json.dumps(content)})


# --- conversations ---------------------------------------------------------------------------------------------------


def room_of(socket):
    return Group(f"room-{int(socket) // talk.ROOM}")


def connect(message, socket):
    note(message)
    message.state["handled"] = 0
    room_of(socket).add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def receive(message, socket):
    note(message)
    number = int(message["text"])
    if talk.comes_later(number) and not message.retries:
        raise ConsumeLater
    answer(message, part=1, number=number, handled=message.state["handled"])
    message.state["handled"] += 1
    if talk.dawdles(number):
        time.sleep(PAUSE)
    if talk.tells_room(number):
        room_of(socket).send({"text": json.dumps({"room": [int(socket), number]})})
    else:
        Channel("tally").send({"number": number, "reply": message.reply_channel.name})
    answer(message, part=2, number=number)
    if talk.fails(number):
        raise RuntimeError("what was sent before this is sent all the same")


def disconnect(message, socket):
    note(message)
    room_of(socket).discard(message.reply_channel)


def tally(message):
    note(message)
    Channel(message["reply"]).send({"text": json.dumps({"tally": message["number"], "attempt": message.attempt})})


# --- ends ------------------------------------------------------------------------------------------------------------


def end_connect(message, how):
    note(message)
    Channel("seen").send({"connect": how})
    if how == "accepts":
        message.reply_channel.send({"accept": True})
        return
    message.reply_channel.send({"text": "never seen"})
    if how == "denies":
        raise DenyConnection
    if how == "waits":
        records.hold("hold")
        return
    if how == "dies":
        os.kill(os.getpid(), 9)
    raise RuntimeError(how)


def open_(message):
    note(message)
    message.reply_channel.send({"accept": True})


def end_receive(message):
    """Do as the text says, after a frame that shows whether the outbox is published."""
    note(message)
    how = message["text"]
    answer(message, how=how, retries=message.retries)
    Channel("seen").send({"receive": how, "attempt": message.attempt})
    end(how, message)


def end(how, message):
    if how == "raises" or (how == "raises-later" and message.retries):
        raise RuntimeError(how)
    if how == "later-once" and not message.retries:
        raise ConsumeLater
    if how == "later-always":
        raise ConsumeLater
    if how == "dies-always" or (how == "dies-once" and message.attempt == 1):
        os.kill(os.getpid(), 9)
    if how == "waits":
        records.hold("hold")


def end_disconnect(message):
    note(message)
    Channel("seen").send({"disconnect": message["code"], "attempt": message.attempt})
    if message["path"].endswith("raises"):
        raise RuntimeError


def work(message):
    """An application message that ends as it says itself."""
    note(message)
    Channel("seen").send({"work": message["how"], "attempt": message.attempt, "retries": message.retries})
    end(message["how"], message)


# --- tried again -----------------------------------------------------------------------------------------------------

TWICE = background(retry=Retry(2, pause=0.05))


def fail_at_first(message, word):
    """Show that the run has begun, then fail as often as the word says: `once`, `twice`, or `always`."""
    note(message)
    Channel("seen").send({"again": word, "retries": message.retries})
    if message.retries < {"never": 0, "once": 1, "twice": 2}.get(word, 99):
        raise RuntimeError(word)


@TWICE
def again_connect(message, word):
    message.reply_channel.send({"accept": True})
    fail_at_first(message, word)


@TWICE
def again_receive(message):
    answer(message, how=message["text"], retries=message.retries)
    fail_at_first(message, message["text"])


@TWICE
def again_request(message, word):
    fail_at_first(message, word)
    message.reply_channel.send({"status": 200, "headers": [], "content": b"run %d" % (message.retries + 1)})


@background(retry=Retry(2, pause=0.05), time_limit=1)
async def again_slow(message):
    """A coroutine that takes too long at first."""
    note(message)
    if not message.retries:
        await asyncio.Event().wait()
    await Channel("seen").asend({"slow": "coroutine", "attempt": message.attempt, "retries": message.retries})


@background(retry=Retry(2, pause=0.05), time_limit=1)
def again_stuck(message):
    """A thread that takes too long at first: no retry can end it."""
    note(message)
    if message.attempt == 1:
        records.hold("hold")
    Channel("seen").send({"slow": "thread", "attempt": message.attempt, "retries": message.retries})
