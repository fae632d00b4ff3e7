"""`manage.py demo`: a board, and some cards to begin with."""

from django.core.management.base import BaseCommand

from board.models import Board, Card, Column

NAME = "Ready for sea"
CARDS = [  # column, title, done
    (Column.DECK, "Reeve new jib sheets", False),
    (Column.DECK, "Grease the winches", True),
    (Column.DECK, "Tape the spreader ends", False),
    (Column.DECK, "Lifelines: check every shackle", False),
    (Column.BELOW, "Charge the handheld radios", True),
    (Column.BELOW, "Chart 2045, with the corrections", False),
    (Column.BELOW, "Find out where the bilge water comes from", False),
    (Column.ASHORE, "Leave the crew list with the harbour master", False),
    (Column.ASHORE, "Bread, coffee, more coffee", False),
]


class Command(BaseCommand):
    """Make them, as far as they are not there."""

    help = "Make a board with some cards, if there is none."

    def handle(self, **_options):
        """Run the command."""
        if Board.objects.exists():
            return
        board = Board.objects.create(name=NAME)
        # `bulk_create` calls no `save`, so nobody is told: no browser looks yet.
        Card.objects.bulk_create(
            Card(board=board, column=column, title=title, done=done, position=position, version=1)
            for position, (column, title, done) in enumerate(CARDS)
        )
        self.stdout.write(f"There is a board now, “{NAME}”, with {len(CARDS)} cards.")
