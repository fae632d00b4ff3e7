"""Settings of a project whose workers are programs of their own. Where its database and its hub are, the test says."""

import json
import os

import django

SECRET_KEY = "tests"
USE_TZ = True
INSTALLED_APPS = ["fairway", "fairway.tasks", "fairway.delay", *(["django_tasks"] if django.VERSION < (6, 0) else [])]
DATABASES = {"default": json.loads(os.environ["OFFICE_DATABASE"])}
TASKS = {"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend", "QUEUES": ["default", "mail"]}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "fairway.layers.LocalLayer",
        "CONFIG": {"path": os.environ["OFFICE_HUB"]},
        "ROUTING": "fairway.tasks.routing.task_routing",
    }
}
