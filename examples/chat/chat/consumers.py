"""What happens when a socket opens, says something, and closes.

Three plain functions, one for each kind of message. For one socket they run one at a time and in order; different
sockets run side by side on threads. What a consumer sends leaves when it returns, so a message is in the database
before anybody sees it, and an exception half-way never leaves half an answer behind.

`message.state` is a small dictionary that the server keeps for the socket: here, who sits at it.
"""

from chat import presence
from chat.frames import BadFrame, Join, Say, encode, parse
from chat.models import Message as Said
from fairway import Message


def connect(message: Message, **_captured: str) -> None:
    """Let the socket in. It belongs to no room until it has said its name."""
    message.reply_channel.send({"accept": True})


def receive(message: Message, room: str) -> None:
    """Do what a frame asks for, or say what is wrong with it."""
    try:
        match parse(message.get("text")):
            case Join() as frame:
                _join(message, room, frame)
            case Say() as frame:
                _say(message, room, frame)
    except BadFrame as error:
        message.reply_channel.send({"text": error.frame()})


def disconnect(message: Message, room: str) -> None:
    """Take the socket out of its room, and tell the others."""
    me = message.state.get("member")
    if me is None:
        return
    presence.leave(room, message.reply_channel)
    presence.group_of(room).send({"text": encode("left", **me)})


def _join(message: Message, room: str, frame: Join) -> None:
    if "member" in message.state:
        raise BadFrame("already-joined", "This socket has joined already.")
    me = presence.enter(room, frame.name, message.reply_channel)
    message.state["member"] = me.as_dict()
    # From `enter` on, whatever is said or whoever comes reaches this socket, even before the frame below does. So
    # nothing can fall between the frame and what follows, and the page has to place what it gets twice only once.
    history, cut = Said.history(room, frame.after)
    welcome = encode(
        "welcome",
        you=me.as_dict(),
        here=[member.as_dict() for member in presence.who_is_here(room)],
        history=[said.as_dict() for said in history],
        cut=cut,
    )
    message.reply_channel.send({"text": welcome})
    presence.group_of(room).send({"text": encode("joined", **me.as_dict())})
    presence.sweep(room)


def _say(message: Message, room: str, frame: Say) -> None:
    me = message.state.get("member")
    if me is None:
        raise BadFrame("not-joined", "Say your name first.", str(frame.ref))
    said, _ = Said.objects.get_or_create(room=room, ref=frame.ref, defaults={"name": me["name"], "text": frame.text})
    presence.group_of(room).send({"text": encode("message", **said.as_dict())})
