"""Models that tell groups of themselves, with each of the ways to say whom and what."""
# ruff: noqa: DJ008  nobody looks at them

import uuid
from typing import Any

from django.db import models

from fairway.rohrpost.mixins import NotifyOnChange, NotifyOnCreate, NotifyOnDelete, NotifyOnUpdate


class Titled(models.Model):
    title = models.CharField(max_length=20, blank=True)
    body = models.CharField(max_length=20, blank=True)

    class Meta:
        abstract = True


class Created(NotifyOnCreate, Titled):
    pass


class Updated(NotifyOnUpdate, Titled):
    pass


class Deleted(NotifyOnDelete, Titled):
    pass


class Changed(NotifyOnChange, Titled):
    pass


class ByTwo(NotifyOnUpdate, NotifyOnCreate, Titled):
    """Two mixins, one message."""


class WithOwnKey(NotifyOnChange, Titled):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class NamedByAttribute(NotifyOnChange, Titled):
    group_name = "things/{pk}"


class NamedByMethod(NotifyOnChange, Titled):
    group_name = "not this"

    def get_group_name(self, message_type: str) -> str:
        return f"{message_type}-of-{self.title}"


class WithData(NotifyOnChange, Titled):
    rohrpost_always_send = False

    def get_push_notification_data(self, updated_fields: Any, message_type: str) -> dict[str, Any]:
        return {"title": self.title, "why": message_type}


class WithList(NotifyOnChange, Titled):
    def get_push_notification_data(self, updated_fields: Any, message_type: str) -> list[str]:
        return [self.title]


class Serializer:
    def __init__(self, instance: Any) -> None:
        self.data = {"serialized": instance.title}


class Serialized(NotifyOnChange, Titled):
    serializer_class = Serializer


class Dated(NotifyOnChange, models.Model):
    """Its data is none that JSON knows."""

    moment = models.DateTimeField(auto_now=True)

    def get_push_notification_data(self, updated_fields: Any, message_type: str) -> dict[str, Any]:
        return {"moment": self.moment}
