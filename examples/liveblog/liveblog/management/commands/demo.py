"""`manage.py demo`: the two people of the demo, and some posts to begin with."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from liveblog.models import Post

PASSWORD = "fairway"
PEOPLE = [
    {"username": "ada", "first_name": "Ada", "last_name": "Lovelace", "is_staff": True, "is_superuser": True},
    {"username": "grace", "first_name": "Grace", "last_name": "Hopper", "is_staff": False, "is_superuser": False},
]
POSTS = [  # minutes ago, title, text, only for admins
    (
        94,
        "The start, in a north-westerly of 18 knots",
        "Forty-one boats crossed the line. Nobody was called back.",
        False,
    ),
    (
        71,
        "Two pull ahead at the Needles",
        "Sea Thrift and Long Division round within a minute of each other.",
        False,
    ),
    (
        38,
        "A lead changes hands",
        "Long Division stands further in, finds the eddy below the cliffs, and comes out four lengths ahead.",
        False,
    ),
    (
        12,
        "Wind is going to veer",
        "The buoy off Ventnor shows north already. Do not write it before the committee has.",
        True,
    ),
    (
        3,
        "The fleet is in sight of the finish",
        "From the castle one can count nine spinnakers. The first of them is red.",
        False,
    ),
]


class Command(BaseCommand):
    """Make them, as far as they are not there."""

    help = "Make the two users of the demo, ada (an admin) and grace (a reader), and some posts."

    def handle(self, **_options):
        """Run the command.

        Raises:
            CommandError: DEBUG is off. The password stands in the source for everybody to read.
        """
        if not settings.DEBUG:
            raise CommandError("The demo's users have a password that everybody knows; LIVEBLOG_DEBUG=1 allows it.")
        users = get_user_model().objects
        for person in PEOPLE:
            if not users.filter(username=person["username"]).exists():
                users.create_user(password=PASSWORD, **person)
        if not Post.objects.exists():
            author, now = users.get(username="ada"), timezone.now()
            # `bulk_create` tells no binding of it, as it tells nobody in Django: no browser looks yet.
            Post.objects.bulk_create(
                Post(author=author, title=title, text=text, admin_only=admin_only, posted=now - timedelta(minutes=ago))
                for ago, title, text, admin_only in POSTS
            )
        self.stdout.write(f"Log in as ada, an admin, or grace, a reader. The password of both is “{PASSWORD}”.")
