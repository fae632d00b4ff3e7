"""Who gets which message: the tasks are one line."""

from fairway import include, route
from progress.consumers import watch

channel_routing = [
    route("websocket.connect", watch, path=r"^/ws/imports/(?P<result_id>[\w-]+)/$"),
    include("fairway.tasks.routing.task_routing"),
]
