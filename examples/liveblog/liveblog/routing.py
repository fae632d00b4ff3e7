"""Which consumer gets which socket."""

from fairway import route_class
from liveblog.consumers import Liveblog

channel_routing = [route_class(Liveblog, path=r"^/ws/liveblog/$")]
