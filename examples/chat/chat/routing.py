"""Which consumer gets which message of a socket. The named group becomes the consumers' argument."""

from chat import consumers
from fairway import route

PATH = r"^/ws/chat/(?P<room>[\w-]{1,50})/$"

channel_routing = [
    route("websocket.connect", consumers.connect, path=PATH),
    route("websocket.receive", consumers.receive, path=PATH),
    route("websocket.disconnect", consumers.disconnect, path=PATH),
]
