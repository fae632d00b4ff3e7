"""What the tests ask for."""

import json
import os
import time
from pathlib import Path

from django.conf import settings

from fairway.rohrpost import rohrpost_handler, rohrpost_subscription, send_message, send_to_group

GO = Path(settings.FOLDER, "go")


def answer(consumer, request, data):
    send_message(consumer=consumer, handler=request["type"], message_id=request["id"], data=data)


@rohrpost_handler()
def echo(consumer, request):
    answer(consumer, request, {"echo": request["data"]})


@rohrpost_handler()
def whoami(consumer, request):
    answer(consumer, request, {"token": request.get("auth_jwt"), "worker": os.getpid()})


@rohrpost_handler()
def slow(consumer, request):
    """Answer once the test says so."""
    print("slow begins", flush=True)
    while not GO.exists():
        time.sleep(0.01)
    answer(consumer, request, {"attempt": consumer.message.attempt})


@rohrpost_handler()
def fail(consumer, request):
    raise ValueError("as asked")


@rohrpost_handler()
def nonsense(consumer, request):
    """Send each text as it is, then an answer that nobody has asked for, then the right one."""
    for text in request["data"]:
        consumer.send(text)
    consumer.send(json.dumps({"type": "echo", "id": "#999", "data": "wrong"}))
    answer(consumer, request, {"sane": True})


@rohrpost_handler()
def hang_up(consumer, request):
    consumer.close(request["data"])


@rohrpost_handler()
def announce(consumer, request):
    """Tell a group of a change."""
    group, changed = request["data"]
    change = {"type": "update", "group": group, "object": changed}
    send_to_group(group, {"id": 17, "type": "subscription-update", "data": change})
    answer(consumer, request, None)


@rohrpost_subscription("board")
def may_see(consumer, data):
    return data["id"] < 100
