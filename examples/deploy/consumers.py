"""The code that is deployed and killed: plain functions that block, as Django developers write them."""

import json
import os
import random
import time

from django.conf import settings


def connect(message):
    message.reply_channel.send({"accept": True})


def receive(message):
    """Count the messages of this socket, and answer."""
    count = message.state.get("count", 0) + 1
    message.state["count"] = count
    time.sleep(random.uniform(0, 0.01))  # a query or two
    answer = {
        "number": json.loads(message["text"])["number"],
        "count": count,
        "attempt": message.attempt,
        "worker": os.getpid(),
        "release": settings.RELEASE,
    }
    message.reply_channel.send({"text": json.dumps(answer)})
