"""Which consumer gets which message."""

from consumers import connect, receive

from fairway import route

channel_routing = [
    route("websocket.connect", connect),
    route("websocket.receive", receive),
]
