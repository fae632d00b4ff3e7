"""Settings of a project that sends messages for later. `SITE` is its folder, `SITE_DATABASE` its database, as JSON."""

import json
import os

SITE = os.environ["SITE"]
SECRET_KEY = "no secret"
USE_TZ = True
INSTALLED_APPS = ["fairway", "fairway.delay"]
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
CHANNEL_LAYERS = {
    "default": {
        "URL": f"local://{SITE}/hub.sock",
        "CONFIG": {"wait": 20},
        "ROUTING": "routing.channel_routing",
    },
}
