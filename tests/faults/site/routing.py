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
]
