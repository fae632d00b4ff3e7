"""What a page may ask for. Each request finds the function that is registered for its type.

The type hints of `data` are checked before a function runs: what a client makes up is answered with an error, and never
gets here. Everybody who has the address of a board may do everything; a project of your own would look at
`consumer.user`.
"""

from dataclasses import dataclass
from functools import wraps
from typing import TypedDict
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from board.models import Board, Card, Column
from fairway.rohrpost import rohrpost_handler, rohrpost_subscription, send_error, send_success

NO_BOARD = "This board is gone."


class Reference(TypedDict):
    """Names a board."""

    id: int


@rohrpost_subscription("board")
def may_watch(consumer, data: Reference):  # noqa: ARG001
    """Let everybody hear of the cards of a board, if it is there. True stands for the group `board-<id>`."""
    return Board.objects.filter(pk=data["id"]).exists()


@rohrpost_handler("board.cards")
def cards(consumer, request, data: Reference):
    """Answer with all cards of a board."""
    answer = {"consumer": consumer, "handler": request["type"], "message_id": request["id"]}
    board = Board.objects.filter(pk=data["id"]).first()
    if board is None:
        send_error(**answer, error=NO_BOARD)
    else:
        send_success(**answer, data={"cards": [card.as_data() for card in board.cards.all()]})


def change(name):
    """Register a function that changes a card: all of it or nothing, and what is wrong is said to whoever asked.

    It returns the card, which is the answer: all pages are told of it as well, when the transaction commits.
    """

    def register(function):
        @rohrpost_handler(name)
        @wraps(function)
        def handler(consumer, request, data):
            answer = {"consumer": consumer, "handler": name, "message_id": request["id"]}
            try:
                with transaction.atomic():
                    card = function(data)
            except ValidationError as error:
                send_error(**answer, error=" ".join(error.messages))
            else:
                send_success(**answer, data=card and {"card": card.as_data()})

        return function

    return register


@dataclass
class NewCard:
    """A card that is to be."""

    board: int
    id: UUID
    title: str
    column: Column


@change("card.add")
def add(data: NewCard):
    """Add a card at the bottom of its column. One that is there already is left as it is."""
    board = Board.objects.select_for_update().filter(pk=data.board).first()
    if board is None:
        raise ValidationError(NO_BOARD)
    known = Card.objects.filter(pk=data.id).first()
    if known:
        return known
    card = Card(id=data.id, board=board)
    _name(card, data.title)
    card.put(data.column)
    return card


@dataclass
class NewTitle:
    """A title for a card."""

    id: UUID
    title: str


@change("card.rename")
def rename(data: NewTitle):
    """Give a card another title."""
    card = _card(data.id)
    _name(card, data.title)
    card.save()
    return card


@dataclass
class Tick:
    """Whether a card is done."""

    id: UUID
    done: bool


@change("card.tick")
def tick(data: Tick):
    """Tick a card, or take the tick away."""
    card = _card(data.id)
    card.done = data.done
    card.save()
    return card


@dataclass
class Move:
    """A place for a card: above another one, or at the bottom of a column."""

    id: UUID
    column: Column
    before: UUID | None = None


@change("card.move")
def move(data: Move):
    """Put a card elsewhere."""
    card = _card(data.id)
    card.put(data.column, data.before)
    return card


@dataclass
class Gone:
    """A card that is to be no more."""

    id: UUID


@change("card.delete")
def delete(data: Gone):
    """Delete a card. If somebody has done so already, all is well."""
    card = Card.objects.select_for_update().filter(pk=data.id).first()
    if card:
        card.delete()


def _card(pk):
    # The board is locked, for a card that moves changes others. SQLite locks as a whole, and needs no asking.
    card = Card.objects.select_for_update().select_related("board").filter(pk=pk).first()
    if card is None:
        raise ValidationError("Somebody has deleted this card.")
    return card


def _name(card, title):
    card.title = " ".join(title.split())
    card.clean_fields(exclude=["board", "column"])
