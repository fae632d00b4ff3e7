"""What the harbour remembers: who called."""

from typing import ClassVar

from django.db import models


class Arrival(models.Model):
    """A ship that called at the harbour."""

    day = models.DateField()
    ship = models.CharField(max_length=80)
    port = models.CharField("last port", max_length=80)
    tons = models.PositiveIntegerField()

    class Meta:
        """The latest is read first."""

        ordering: ClassVar = ["-day", "-pk"]

    def __str__(self) -> str:
        """Show the ship."""
        return self.ship
