"""Who is connected, and the date on every response."""

from tests.server.support import serving


async def test_the_date_changes_once_a_second(monkeypatch):
    async with serving() as house:
        roster = house.server._roster
        monkeypatch.setattr("fairway.server.roster.time.time", lambda: 1.5)
        first = roster.date()
        assert first == b"Thu, 01 Jan 1970 00:00:01 GMT"
        assert roster.date() is first


async def test_a_connection_is_counted_in_and_out_once():
    async with serving() as house:
        roster = house.server._roster
        visitor = object()
        assert roster.opened(visitor, ("10.0.0.1", 1))
        roster.closed(visitor, ("10.0.0.1", 1))
        roster.closed(visitor, ("10.0.0.1", 1))
        assert roster._doorman.total == 0


async def test_nobody_comes_in_while_the_server_stops():
    async with serving() as house:
        house.server._roster.stopping = True
        assert not house.server._roster.opened(object(), None)
        house.server._roster.stopping = False
