"""What consumes messages that are due: it tells `done` which one it was, when it was due, and when it came."""

import time

from fairway import Channel, route


def tell(message):
    Channel("done").send({"number": message["number"], "due": message["due"], "at": time.time()})


channel_routing = [route("due", tell)]
