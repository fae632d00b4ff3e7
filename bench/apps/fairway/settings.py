"""Fairway with its memory layer in one process, or with the layer that the harness names."""

from __future__ import annotations

import os

from bench.apps.base_settings import *  # noqa: F403 - a settings module is read by name
from bench.apps.base_settings import INSTALLED_APPS as SHARED_APPS
from bench.plan import URLS

INSTALLED_APPS = ["fairway", *SHARED_APPS]

ROUTING = "bench.apps.fairway.routing.channel_routing"
if urls := os.environ.get(URLS):
    ROOT_URLCONF = urls
    ROUTING = []  # type: ignore[assignment]

CHANNEL_LAYERS = {
    "default": {
        "URL": os.environ.get("BENCH_LAYER", "memory://"),
        "ROUTING": ROUTING,
    },
}
