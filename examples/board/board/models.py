"""Boards and their cards. Whoever saves or deletes a card need not know of sockets: the mixin tells the board's group.

So a card that is changed in `manage.py shell` moves in every browser, too. What Django itself saves without `save()`,
`QuerySet.update` and its like, nobody is told of.
"""

import uuid
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models

from fairway.rohrpost import NotifyOnChange

TITLE_LENGTH = 80
MOST = 8


class Column(models.TextChoices):
    """Where there is something to do."""

    DECK = "deck", "On deck"
    BELOW = "below", "Below deck"
    ASHORE = "ashore", "Ashore"


class Board(models.Model):
    """A board, which stands at an address of its own."""

    name = models.CharField(max_length=TITLE_LENGTH)

    def __str__(self) -> str:
        """Show the name."""
        return self.name


class Card(NotifyOnChange, models.Model):
    """Something to do.

    The browser chooses its key, before it knows whether there is a connection: what is added twice is one card.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    board = models.ForeignKey(Board, models.CASCADE, related_name="cards")
    title = models.CharField(
        max_length=TITLE_LENGTH,
        validators=[ProhibitNullCharactersValidator()],  # PostgreSQL stores none, and a form would have asked
        error_messages={"blank": "A card needs a title."},
    )
    column = models.CharField(max_length=10, choices=Column)
    position = models.PositiveIntegerField(default=0)
    done = models.BooleanField(default=False)
    # Grows with each save. News of a card may overtake what was read of it: the page knows by this which is newer.
    version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        """From the top to the bottom."""

        ordering: ClassVar = ["column", "position"]

    def __str__(self) -> str:
        """Show the title."""
        return self.title

    def save(self, *args, **kwargs):
        """Save it as the next version."""
        self.version += 1
        super().save(*args, **kwargs)

    def put(self, column, before=None):
        """Stand in a column, above the card with the key `before` or at the bottom. Those further down make room.

        Raises:
            ValidationError: the column is full.
        """
        cards = list(self.board.cards.filter(column=column).exclude(pk=self.pk))
        if self.column != column and len(cards) >= MOST:
            raise ValidationError(f"“{column.label}” is full: it holds {MOST} cards.")
        place = next((place for place, card in enumerate(cards) if card.pk == before), len(cards))
        cards.insert(place, self)
        self.column = column
        for position, card in enumerate(cards):
            if card is self or card.position != position:
                card.position = position
                card.save()

    def as_data(self):
        """Return what a browser is told of it."""
        names = ("id", "title", "column", "position", "done", "version")
        return {name: getattr(self, name) for name in names}

    # The mixin asks for these two.

    def get_group_name(self, message_type):  # noqa: ARG002  all news are for the same group
        """Return the group of everybody who looks at the board."""
        return f"board-{self.board_id}"

    def get_push_notification_data(self, updated_fields, message_type):  # noqa: ARG002  all of it, whatever was saved
        """Return what they are told."""
        return self.as_data()
