"""A project of a few views that own a WebSocket. VIEWS_FOLDER holds what they note, and the socket of VIEWS_LAYER."""

import os

FOLDER = os.environ["VIEWS_FOLDER"]

DEBUG = True
SECRET_KEY = "for-the-tests-only-and-known-to-everybody"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = ["fairway", "django.contrib.staticfiles"]
STATIC_URL = "static/"
ROOT_URLCONF = "urls"
CHANNEL_LAYERS = {"default": {"URL": os.environ["VIEWS_LAYER"], "ROUTING": []}}
