"""What the live blog remembers: its posts."""

from typing import ClassVar, Self

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.utils import timezone

TITLE_LENGTH = 120
TEXT_LENGTH = 2_000


class PostQuerySet(models.QuerySet):
    """Posts, chosen by who looks."""

    def visible_to(self, user) -> Self:
        """Return what a user may see. `PostBinding.group_names` says the same, about one post at a time."""
        return self.all() if user.is_staff else self.filter(admin_only=False)


class Post(models.Model):
    """One entry of the blog."""

    title = models.CharField(max_length=TITLE_LENGTH)
    # A TextField's `max_length` is for forms only. What comes through a socket is checked by the validators.
    text = models.TextField(blank=True, max_length=TEXT_LENGTH, validators=[MaxLengthValidator(TEXT_LENGTH)])
    admin_only = models.BooleanField("only for admins", default=False, help_text="Readers do not see the post.")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+")
    posted = models.DateTimeField(default=timezone.now, editable=False)

    objects = PostQuerySet.as_manager()

    class Meta:
        """The newest is read first."""

        ordering: ClassVar = ["-posted", "-pk"]

    def __str__(self) -> str:
        """Show the title."""
        return self.title

    @property
    def byline(self) -> str:
        """Who wrote it, as readers see the name."""
        return str((self.author and (self.author.get_full_name() or self.author.get_username())) or "")
