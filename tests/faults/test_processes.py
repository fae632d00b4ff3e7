"""`fairway serve --processes 2`: the parent with the hub dies, and the sockets stay with its children."""

import os
import random
import signal
from contextlib import ExitStack

import pytest

from tests.support.site import Site, children, is_alive
from tests.support.swarm import Swarm
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

SOCKETS = 200
PROCESSES = "--processes=2"

CONNECTIONS = "websocket."
"""Channels whose messages are repeated with an attempt that says so, also by the next hub. An application message that
a repeated run sends again is new to the next hub, which knows nothing of the first one's."""


def hear_rooms(swarm: Swarm, site: Site) -> None:
    """Whatever is told to a room from now on reaches all of it; and each room has its members."""
    swarm.speak()
    swarm.wait_answers(2 * SOCKETS)
    swarm.finish()
    with site.seen() as seen:
        members = [seen.layer.group_channels(f"room-{number}") for number in range(SOCKETS // 10)]
    assert [len(set(room)) for room in members] == [10] * len(members)


def test_conversations_go_on_with_the_next_parent_when_theirs_is_killed(site):
    """No socket is closed, nothing said is lost, rooms find their members; orphans go with their last socket."""
    with site.workers(), site.serve(PROCESSES) as first, Swarm(site.port, SOCKETS, pause=0.5) as swarm:
        orphans = children(first.pid)
        assert len(orphans) == 2
        swarm.wait_answers(SOCKETS)
        first.process.kill()
        first.process.wait()
        assert all(map(is_alive, orphans))
        with site.serve(PROCESSES) as second:
            swarm.wait_answers(SOCKETS)
            swarm.rest()
            swarm.forgive()
            hear_rooms(swarm, site)
            with Swarm(site.port, 10, pause=0.2, first=SOCKETS) as late:
                late.wait_answers(20)
                late.finish()
            print(f"\n{swarm.text()}")
            assert swarm.faults == late.faults == []
            assert site.run_twice(CONNECTIONS) == []
            assert all(map(is_alive, orphans))
            swarm.leave()
            wait_until(lambda: not any(map(is_alive, orphans)), "the end of the orphans")
            assert len(children(second.pid)) == 2


def test_workers_are_told_of_the_end_of_every_socket_whose_process_was_killed(site):
    """Once each, after what was under way; sockets of the process that lives hear nothing of it."""
    with site.workers(), site.serve(PROCESSES) as program, Swarm(site.port, SOCKETS, pause=0.5) as swarm:
        swarm.wait_answers(SOCKETS)
        for child in children(program.pid):
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: len(ends(site)) >= SOCKETS, "the ends of all sockets", 60)
    found = ends(site)
    assert len(found) == len(set(found)) == SOCKETS
    assert site.run_twice(CONNECTIONS) == []


def ends(site: Site) -> list[str]:
    """The messages that told the end of a socket."""
    return [run.id for run in site.runs() if run.channel == "websocket.disconnect"]


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_parent_that_is_killed_again_and_again_costs_no_socket_and_no_answer(site, soak):
    """Orphans of several generations share one hub."""
    with ExitStack() as stack:
        stack.enter_context(site.workers())
        parent = stack.enter_context(site.serve(PROCESSES))
        swarm = stack.enter_context(Swarm(site.port, SOCKETS, pause=0.5))
        for _ in range(2 + soak):
            swarm.speak()
            swarm.wait_answers(random.randrange(SOCKETS))
            parent.process.kill()
            parent.process.wait()
            parent = stack.enter_context(site.serve(PROCESSES))
            swarm.wait_answers(SOCKETS, 60)
            swarm.rest(60)
            swarm.forgive()
        hear_rooms(swarm, site)
        print(f"\n{swarm.text()}")
        assert swarm.faults == []
        assert site.run_twice(CONNECTIONS) == []
