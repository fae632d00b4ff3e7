"""A project of one page and a few rohrpost handlers. CLIENT_FOLDER holds the hub's socket."""

import os
from pathlib import Path

FOLDER = os.environ["CLIENT_FOLDER"]

DEBUG = True  # staticfiles are served
SECRET_KEY = "for-the-tests-only-and-known-to-everybody"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = ["fairway", "django.contrib.staticfiles"]
STATIC_URL = "static/"
ROOT_URLCONF = "urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent]}]
CHANNEL_LAYERS = {"default": {"URL": f"local://{FOLDER}/hub.sock", "ROUTING": "routing.channel_routing"}}
