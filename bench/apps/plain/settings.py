"""Django alone."""

from __future__ import annotations

from bench.apps.base_settings import *  # noqa: F403 - a settings module is read by name
