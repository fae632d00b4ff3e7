"""Settings of the deploy demo: a project in one folder, with nothing but conversations.

`demo.py` runs it, and sets DEMO_FOLDER: there are the hub's socket and the number of the release.
"""

import os
from pathlib import Path

FOLDER = os.environ.get("DEMO_FOLDER")
RELEASE = Path(FOLDER, "release").read_text() if FOLDER else "1"

SECRET_KEY = "for-the-demo-only-and-known-to-everybody"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = ["fairway"]
ROOT_URLCONF = "urls"

CHANNEL_LAYERS = {
    "default": {
        "URL": f"local://{FOLDER}/hub.sock" if FOLDER else "local://",
        "ROUTING": "routing.channel_routing",
    },
}
