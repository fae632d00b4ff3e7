"""Settings of the project under test. `SITE` in the environment is the folder of its hub and its records."""

import os

SITE = os.environ["SITE"]
SECRET_KEY = "no secret"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["fairway"]
ROOT_URLCONF = "urls"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "fairway.layers.LocalLayer",
        "CONFIG": {"path": f"{SITE}/hub.sock", "wait": 4},
        "ROUTING": "routing.channel_routing",
    },
}
