"""Tests of the board, without a server: `python manage.py test`.

A `WSClient` is a browser's socket. Handlers run in the test, and what waits for a commit is sent when a client looks.
"""

import itertools
import uuid
from io import StringIO

from django.core.management import call_command

from board.management.commands.demo import CARDS
from board.models import MOST, TITLE_LENGTH, Board, Card, Column
from fairway.errors import DenyConnection
from fairway.testing import ChannelTestCase, WSClient

PATH = "/ws/board/"


class Window:
    """A page that looks at a board."""

    def __init__(self, board):
        self.client = WSClient()
        self.client.set_header("origin", "http://testserver")
        self.client.connect(PATH)
        self.ids = itertools.count(1)
        self.answer = self.ask("subscribe", type="board", id=board)

    def ask(self, kind, **data):
        """Send a request, and return what is answered; what is told before it is dropped."""
        asked = {"type": kind, "id": next(self.ids), "data": data}
        self.client.send_and_consume("websocket.receive", text=asked)
        while (frame := self.client.receive()) is not None:
            if frame["id"] == asked["id"] and frame["type"] == kind:
                return frame
        return None

    def news(self):
        """Return what this page is told of cards."""
        told = []
        while (frame := self.client.receive()) is not None:
            told.append((frame["data"]["type"], frame["data"]["object"]["title"]))
        return told


class BoardTests(ChannelTestCase):
    """Two pages look at a board with two cards."""

    @classmethod
    def setUpTestData(cls):
        """Make the board."""
        cls.board = Board.objects.create(name="Ready for sea")
        cls.sheets, cls.winches = (Card(board=cls.board, title=title) for title in ("Sheets", "Winches"))
        for card in (cls.sheets, cls.winches):
            card.put(Column.DECK)

    def setUp(self):
        """Open the pages."""
        self.here, self.there = Window(self.board.pk), Window(self.board.pk)

    def stands(self, column=Column.DECK):
        """Return the titles of a column, from the top to the bottom."""
        return [card.title for card in self.board.cards.filter(column=column)]

    def add(self, window, title, column="deck", key=None):
        """Add a card."""
        key = str(key or uuid.uuid4())
        return window.ask("card.add", board=self.board.pk, id=key, title=title, column=column)

    def test_a_page_is_told_of_all_cards_and_only_those_of_its_board(self):
        """In their order."""
        Card(board=Board.objects.create(name="Another"), title="Elsewhere").put(Column.DECK)
        found = self.here.ask("board.cards", id=self.board.pk)["data"]["cards"]
        first = {"id": str(self.sheets.pk), "title": "Sheets", "column": "deck", "position": 0, "done": False}
        self.assertEqual(found[0], {**first, "version": 1})
        self.assertEqual([card["title"] for card in found], ["Sheets", "Winches"])
        self.assertEqual(self.here.news(), [])

    def test_one_change_is_told_to_both_pages(self):
        """And the answer is the card as it is now."""
        answer = self.here.ask("card.tick", id=str(self.sheets.pk), done=True)
        self.assertEqual((answer["data"]["card"]["done"], answer["data"]["card"]["version"]), (True, 2))
        self.assertEqual(self.there.news(), [("update", "Sheets")])
        self.add(self.there, "Chart", "below")
        self.assertEqual(self.here.news(), [("update", "Sheets"), ("create", "Chart")])
        self.here.ask("card.rename", id=str(self.winches.pk), title="  Grease \n the winches ")
        self.here.ask("card.delete", id=str(self.sheets.pk))
        self.assertEqual(self.there.news()[-2:], [("update", "Grease the winches"), ("delete", "Sheets")])

    def test_whoever_saves_a_card_tells_everybody(self):
        """Such as a shell."""
        self.sheets.delete()
        self.assertEqual(self.here.news(), [("delete", "Sheets")])

    def test_a_card_that_is_added_twice_is_one(self):
        """A page that is not sure asks again."""
        key = uuid.uuid4()
        first, second = (self.add(self.here, title, key=key) for title in ("Lamps", "Lamps, again"))
        self.assertEqual(first["data"], second["data"])
        self.assertEqual(self.stands(), ["Sheets", "Winches", "Lamps"])
        self.assertEqual(self.there.news(), [("create", "Lamps")])

    def test_a_card_that_is_deleted_twice_is_gone(self):
        """So it is not an error to ask again. To change it is one."""
        key = str(self.sheets.pk)
        for _ in range(2):
            self.assertNotIn("error", self.here.ask("card.delete", id=key))
        answer = self.here.ask("card.tick", id=key, done=True)
        self.assertEqual(answer["error"], "Somebody has deleted this card.")

    def test_a_card_moves_to_its_place(self):
        """Above another one, or to the bottom. Those that make room are told of, too."""
        self.add(self.here, "Lamps", "below")
        lamps = Card.objects.get(title="Lamps")
        self.there.news()
        self.here.ask("card.move", id=str(lamps.pk), column="deck", before=str(self.winches.pk))
        self.assertEqual(self.stands(), ["Sheets", "Lamps", "Winches"])
        self.assertEqual(self.there.news(), [("update", "Lamps"), ("update", "Winches")])
        self.here.ask("card.move", id=str(self.sheets.pk), column="deck")
        self.assertEqual(self.stands(), ["Lamps", "Winches", "Sheets"])
        self.here.ask("card.move", id=str(self.sheets.pk), column="ashore", before=str(uuid.uuid4()))
        self.assertEqual((self.stands(), self.stands(Column.ASHORE)), (["Lamps", "Winches"], ["Sheets"]))

    def test_a_full_column_takes_no_more(self):
        """Nothing has changed then, and nobody is told. Within the column, cards still move."""
        for number in range(MOST - 2):
            self.add(self.here, f"Card {number}")
        self.add(self.here, "Bread", "ashore")
        self.there.news()
        bread = Card.objects.get(title="Bread")
        full = f"“On deck” is full: it holds {MOST} cards."
        self.assertEqual(self.add(self.here, "One more")["error"], full)
        self.assertEqual(self.here.ask("card.move", id=str(bread.pk), column="deck")["error"], full)
        self.assertEqual((len(self.stands()), self.stands(Column.ASHORE)), (MOST, ["Bread"]))
        self.assertEqual(self.there.news(), [])
        self.here.ask("card.move", id=str(self.sheets.pk), column="deck")
        self.assertEqual(self.stands()[-1], "Sheets")

    def test_a_title_is_needed_and_has_an_end(self):
        """The answer says so."""
        self.assertEqual(self.add(self.here, " ")["error"], "A card needs a title.")
        error = self.here.ask("card.rename", id=str(self.sheets.pk), title="x" * (TITLE_LENGTH + 1))["error"]
        self.assertIn("at most 80 characters", error)
        self.assertIn("Null characters", self.add(self.here, "a\0b")["error"])
        self.assertEqual(self.stands(), ["Sheets", "Winches"])

    def test_what_is_made_up_is_answered(self):
        """No handler sees it."""
        self.assertEqual(
            self.here.ask("card.tick", id="7", done=True)["error"], "Invalid data: Invalid UUID - at `$.id`"
        )
        self.assertIn("Invalid enum value 'sky'", self.add(self.here, "Moon", "sky")["error"])
        for board in (0, 10**30):
            answer = self.here.ask("card.add", board=board, id=str(uuid.uuid4()), title="x", column="deck")
            self.assertEqual(answer["error"], "This board is gone.")
            self.assertEqual(self.here.ask("board.cards", id=board)["error"], "This board is gone.")

    def test_only_a_board_that_is_there_can_be_watched(self):
        """The group has the name of the board."""
        self.assertEqual(self.here.answer["data"]["group"], f"board-{self.board.pk}")
        self.assertEqual(Window(0).answer["error"], "You may not subscribe to 'board'.")

    def test_pages_of_other_sites_are_refused(self):
        """Before the handshake completes."""
        foreign = WSClient()
        foreign.set_header("origin", "https://elsewhere.example")
        with self.assertRaises(DenyConnection):
            foreign.connect(PATH)


class PageTests(ChannelTestCase):
    """The page and the command."""

    def test_the_demo_is_made_once(self):
        """A second time changes nothing."""
        self.assertEqual(self.client.get("/").status_code, 404)
        for _ in range(2):
            call_command("demo", stdout=StringIO())
        self.assertEqual((Board.objects.count(), Card.objects.count()), (1, len(CARDS)))

    def test_the_first_page_is_that_of_a_board(self):
        """A board that is not there has none."""
        call_command("demo", stdout=StringIO())
        page = self.client.get("/", follow=True)
        self.assertContains(page, "Ready for sea")
        self.assertEqual(self.client.get("/boards/0/").status_code, 404)
