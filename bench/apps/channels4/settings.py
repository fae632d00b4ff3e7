"""Channels 4 with the Redis layer that the harness names."""

from __future__ import annotations

import os

from bench.apps.base_settings import *  # noqa: F403 - a settings module is read by name
from bench.apps.base_settings import INSTALLED_APPS as SHARED_APPS

INSTALLED_APPS = ["channels", *SHARED_APPS]
ASGI_APPLICATION = "bench.apps.channels4.asgi.application"

_BACKENDS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": _BACKENDS[os.environ.get("BENCH_CHANNEL_LAYER", "pubsub")],
        # No time limit for sockets: the default of redis-py is as short as the core layer waits on purpose.
        "CONFIG": {
            "hosts": [{"address": f"unix://{os.environ.get('BENCH_REDIS', '/nowhere')}", "socket_timeout": None}]
        },
    },
}
