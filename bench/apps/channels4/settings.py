"""Channels 4 with its Redis pub/sub layer."""

from __future__ import annotations

import os

from bench.apps.base_settings import *  # noqa: F403 - a settings module is read by name
from bench.apps.base_settings import INSTALLED_APPS as SHARED_APPS

INSTALLED_APPS = ["channels", *SHARED_APPS]
ASGI_APPLICATION = "bench.apps.channels4.asgi.application"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [f"unix://{os.environ.get('BENCH_REDIS', '/nowhere')}"]},
    },
}
