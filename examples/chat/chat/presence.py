"""Who is here: the names come from the database, the truth comes from the sockets.

A table of members alone would lie after a crash: nobody was left to delete the rows. So a row counts only while its
channel is a member of the room's group. The server that holds a socket is the authority on its groups; when the
socket ends, or the whole server does, the membership ends with it, and no timer is needed to find that out.
"""

from datetime import timedelta

from django.utils import timezone

from chat.models import Member
from fairway import Channel, Group


def group_of(room: str) -> Group:
    """Return the group of everybody in a room."""
    return Group(f"chat.{room}")


def enter(room: str, name: str, channel: Channel) -> Member:
    """Add a socket to a room. Doing it twice for one socket changes nothing."""
    # First the group, then the row: whoever sees the row can rely on the membership.
    group_of(room).add(channel)
    member, _ = Member.objects.update_or_create(channel=channel.name, defaults={"room": room, "name": name})
    return member


def leave(room: str, channel: Channel) -> None:
    """Take a socket out of a room; nothing happens if it is not there."""
    group_of(room).discard(channel)
    Member.objects.filter(channel=channel.name).delete()


def who_is_here(room: str) -> list[Member]:
    """Return the members of a room, the longest present first."""
    # First the rows, then the group: a member who comes in between is in neither, or in both.
    rows = list(Member.objects.filter(room=room).order_by("pk"))
    alive = set(group_of(room).channels())
    return [row for row in rows if row.channel in alive]


def sweep(room: str) -> None:
    """Delete the rows that a crash left behind. They harm nobody, so this is only for tidiness and is in no hurry."""
    old = Member.objects.filter(room=room, joined__lt=timezone.now() - timedelta(days=1))
    if old.exists():
        present = [member.pk for member in who_is_here(room)]
        old.exclude(pk__in=present).delete()
