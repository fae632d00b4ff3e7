"""One small table."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class Note(models.Model):
    """What the JSON consumer looks up for each message: by owner and number."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=100)

    class Meta:
        """The lookup is indexed."""

        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "number"], name="one_note_per_number")]

    def __str__(self) -> str:
        """The title."""
        return self.title
