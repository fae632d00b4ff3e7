"""What the chat remembers: what was said, and who sits at which socket."""

from typing import Any, ClassVar

from django.db import models

ROOM_LENGTH = 50
NAME_LENGTH = 40
TEXT_LENGTH = 2_000
HISTORY = 50


class Message(models.Model):
    """One thing that somebody said in a room."""

    room = models.CharField(max_length=ROOM_LENGTH)
    name = models.CharField(max_length=NAME_LENGTH)
    text = models.TextField(max_length=TEXT_LENGTH)
    sent = models.DateTimeField(auto_now_add=True)
    # Chosen by the browser. It makes saying the same thing again harmless: for a browser that is not sure whether its
    # message got through, and for a worker that takes over from one that was killed.
    ref = models.UUIDField()

    class Meta:
        """Messages are read by room, newest first."""

        constraints: ClassVar = [models.UniqueConstraint(fields=["room", "ref"], name="message_once_in_a_room")]
        indexes: ClassVar = [models.Index(fields=["room", "-id"], name="message_by_room")]

    def __str__(self) -> str:
        """Show who said what."""
        return f"{self.name} in {self.room}: {self.text[:50]}"

    def as_dict(self) -> dict[str, Any]:
        """Return what the browser is told about the message."""
        return {
            "id": self.pk,
            "name": self.name,
            "text": self.text,
            "sent": self.sent.isoformat(timespec="milliseconds"),
            "ref": str(self.ref),
        }

    @classmethod
    def history(cls, room: str, after: int = 0) -> tuple[list["Message"], bool]:
        """Return the last messages of a room in order, and whether older ones (but later than `after`) are left out."""
        newest_first = list(cls.objects.filter(room=room, pk__gt=after).order_by("-pk")[: HISTORY + 1])
        return newest_first[:HISTORY][::-1], len(newest_first) > HISTORY


class Member(models.Model):
    """One socket in a room, and the name at it. `presence` says which of these rows are true."""

    channel = models.CharField(max_length=200, unique=True)
    room = models.CharField(max_length=ROOM_LENGTH, db_index=True)
    name = models.CharField(max_length=NAME_LENGTH)
    joined = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        """Show who is where."""
        return f"{self.name} in {self.room}"

    def as_dict(self) -> dict[str, Any]:
        """Return what the browser is told about the member."""
        return {"id": self.pk, "name": self.name}
