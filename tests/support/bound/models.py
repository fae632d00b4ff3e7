"""Models to be bound."""
# ruff: noqa: DJ008  nobody looks at them

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=20)


class LoudTag(Tag):
    class Meta:
        proxy = True


class Post(models.Model):
    title = models.CharField(max_length=20)
    admin_only = models.BooleanField(default=False)
    room = models.CharField(max_length=20, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="posts")
    readers = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Reading", related_name="+")

    def shout(self) -> str:
        return self.title.upper()


class PostProxy(Post):
    class Meta:
        proxy = True


class PinnedPost(Post):
    """A child with a table of its own."""

    pin = models.CharField(max_length=20, blank=True)


class Reading(models.Model):
    post = models.ForeignKey(Post, models.CASCADE)
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    pages = models.IntegerField(default=0)


class IntegerValue(models.Model):
    """The example of the Channels documentation."""

    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)


class Person(models.Model):
    name = models.CharField(max_length=20)
    friends = models.ManyToManyField("self", blank=True)
    follows = models.ManyToManyField("self", blank=True, symmetrical=False, related_name="followers")
    boss = models.ForeignKey("self", models.PROTECT, null=True, blank=True)


class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    label = models.CharField(max_length=20)


class Page(models.Model):
    slug = models.SlugField(primary_key=True)
    text = models.TextField()


class Profile(models.Model):
    """Its key is that of a user."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True)
    motto = models.CharField(max_length=20)


class Everything(models.Model):
    """A field of every kind."""

    text = models.TextField(blank=True)
    number = models.IntegerField(null=True, blank=True)
    big = models.BigIntegerField(null=True, blank=True)
    ratio = models.FloatField(null=True, blank=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    flag = models.BooleanField(default=False)
    day = models.DateField(null=True, blank=True)
    moment = models.DateTimeField(null=True, blank=True)
    clock = models.TimeField(null=True, blank=True)
    span = models.DurationField(null=True, blank=True)
    reference = models.UUIDField(null=True, blank=True)
    extra = models.JSONField(null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    choice = models.CharField(max_length=3, blank=True, choices=[("a", "A"), ("b", "B")])
    upload = models.FileField(blank=True)
    tag = models.ForeignKey(Tag, models.CASCADE, null=True, blank=True, limit_choices_to={"name__startswith": "t"})
    tags = models.ManyToManyField(Tag, blank=True, related_name="+", limit_choices_to={"name__startswith": "t"})
    secret = models.CharField(max_length=10, editable=False, default="kept")
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["number", "big"], name="one_pair")]

    def clean(self) -> None:
        if self.text == "never":
            raise ValidationError("not this text")
