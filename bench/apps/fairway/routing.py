"""Which consumer gets which message."""

from bench.apps.fairway import consumers
from bench.apps.fairway.notes import Names, Notes
from bench.apps.fairway.requests import taker
from bench.plan import LATER_CHANNEL
from fairway import route, route_class

FANOUT = r"^/fanout/(?P<group>[-\w]+)/$"

channel_routing = [
    route("websocket.connect", consumers.join, path=FANOUT),
    route("websocket.receive", consumers.publish, path=FANOUT),
    route("websocket.disconnect", consumers.leave, path=FANOUT),
    route("websocket.connect", consumers.accept, path=r"^/(?:echo|slow|hold)/$"),
    route("websocket.receive", consumers.echo, path=r"^/echo/$"),
    route("websocket.receive", consumers.slow, path=r"^/slow/$"),
    route("websocket.receive", consumers.hold, path=r"^/hold/$"),
    route_class(Notes, path=r"^/notes/$"),
    route_class(Names, path=r"^/names/$"),
    route_class(taker(), path=r"^/requests/$"),
    route(LATER_CHANNEL, consumers.arrive),
]
