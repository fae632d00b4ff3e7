"""Settings of the project under test. `SITE` in the environment is the folder of its hub and its records.

`SITE_LAYER` is the URL of another layer than the hub, one whose processes are taken for dead after a second.
"""

import os

SITE = os.environ["SITE"]
SECRET_KEY = "no secret"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["fairway"]
ROOT_URLCONF = "urls"
LAYER = os.environ.get("SITE_LAYER", "")
CHANNEL_LAYERS = {
    "default": {
        "URL": LAYER or f"local://{SITE}/hub.sock",
        "CONFIG": {"wait": 4, "silence": 1.0} if LAYER else {"wait": 4},
        "ROUTING": "routing.channel_routing",
    },
}
