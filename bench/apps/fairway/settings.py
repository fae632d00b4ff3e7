"""Fairway with its memory layer: server and worker threads in one process."""

from __future__ import annotations

from bench.apps.base_settings import *  # noqa: F403 - a settings module is read by name
from bench.apps.base_settings import INSTALLED_APPS as SHARED_APPS

INSTALLED_APPS = ["fairway", *SHARED_APPS]
ROOT_URLCONF = "bench.apps.fairway.urls"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "fairway.layers.MemoryLayer",
        "ROUTING": "bench.apps.fairway.routing.channel_routing",
    },
}
