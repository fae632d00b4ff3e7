"""Which consumer gets which socket."""

from django.urls import path

from board import handlers  # noqa: F401  registers itself
from fairway.rohrpost import SyncRohrpostConsumer
from fairway.security import allowed_hosts_only

# Pages of other sites are refused before the socket opens.
channel_routing = [path("ws/board/", allowed_hosts_only(SyncRohrpostConsumer))]
