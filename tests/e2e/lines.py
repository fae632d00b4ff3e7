"""The lines between a page and its server: kept to be cut, or losing one frame on the way."""

from collections.abc import Callable

from playwright.sync_api import Page, WebSocketRoute


def keep_lines(page: Page, pattern: str) -> list[WebSocketRoute]:
    """Return the WebSockets that the page will open at this address, as it opens them. All frames pass."""
    lines: list[WebSocketRoute] = []

    def line(route: WebSocketRoute) -> None:
        lines.append(route)
        server = route.connect_to_server()
        server.on_message(route.send)

    page.route_web_socket(pattern, line)
    return lines


def lose_once(page: Page, pattern: str, lost: str, text: str) -> list[str]:
    """Lose the first frame with this text, and with it the line.

    Parameters:
        lost: "request" or "answer": on which way.

    Returns:
        What is still to be lost: nothing, once it was.
    """
    losing = [lost]

    def line(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def lose_or_pass(message: str | bytes, what: str, send: Callable[[str | bytes], None]) -> None:
            if what in losing and text in str(message):
                losing.clear()
                route.close(code=1012)
            else:
                send(message)

        route.on_message(lambda message: lose_or_pass(message, "request", server.send))
        server.on_message(lambda message: lose_or_pass(message, "answer", route.send))

    page.route_web_socket(pattern, line)
    return losing
