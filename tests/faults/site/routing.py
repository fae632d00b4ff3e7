"""Which consumer gets what."""

import consumers

from fairway import route

TALK = r"^/talk/(?P<socket>\d+)$"
ENDS = r"^/ends/"

channel_routing = [
    route("websocket.connect", consumers.connect, path=TALK),
    route("websocket.receive", consumers.receive, path=TALK),
    route("websocket.disconnect", consumers.disconnect, path=TALK),
    route("tally", consumers.tally),
    route("websocket.connect", consumers.end_connect, path=r"^/connect/(?P<how>\w+)$"),
    route("websocket.connect", consumers.open_, path=ENDS),
    route("websocket.receive", consumers.end_receive, path=ENDS),
    route("websocket.disconnect", consumers.end_disconnect, path=ENDS),
    route("work", consumers.work),
    route("websocket.connect", consumers.again_connect, path=r"^/again/(?P<word>\w+)$"),
    route("websocket.receive", consumers.again_receive, path=r"^/again/"),
    route("websocket.disconnect", consumers.end_disconnect, path=r"^/again/"),
    route("http.request", consumers.again_request, path=r"^/again/(?P<word>\w+)$"),
    route("slow", consumers.again_slow),
    route("stuck", consumers.again_stuck),
]
