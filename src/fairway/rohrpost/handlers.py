"""The handlers that are there from the start."""

from typing import Any

from fairway.rohrpost.message import Sender, send_message
from fairway.rohrpost.registry import rohrpost_handler


@rohrpost_handler("ping")
def handle_ping(consumer: Sender, request: dict[str, Any]) -> None:
    """Answer with a `pong`: an object comes back as it is, any other data below the key `data`."""
    data = request.get("data")
    if "data" in request and not isinstance(data, dict):
        data = {"data": data}
    send_message(consumer=consumer, handler="pong", message_id=request["id"], data=data)
