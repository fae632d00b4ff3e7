"""Who reads the line: leader and followers.

Many threads wait for things that come over one line. One of them, the leader, reads it; the others sleep. What the
leader reads is put where it belongs, and whoever got something is woken. A leader that got what it waited for goes to
work, and the line is unattended until the next thread that waits takes the lead.

When to wake a follower for that is a question of cost: a wake-up costs more than a short consumer. So while messages
come thick and fast, nobody is woken, and the thread that is done takes the next; when they come slowly, a follower is
woken at once. A watcher thread looks after what that leaves open: a consumer that takes long (a follower is woken
after a tick), all threads busy (the watcher itself reads, so that answers and pongs arrive, and deliveries not begun
are given back), a coroutine that waits (it cannot read).
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, Line, LineLost
from fairway.layers.waiters import UNSETTLED, LoopWaiter
from fairway.wire.hub import Ping, pack

logger = logging.getLogger("fairway.layer")

PACE = 0.00025
"""Seconds: deliveries that are taken at a longer interval than this come slowly."""

TICK = 0.002
"""How long the line may be unattended, or deliveries lie there, while a consumer runs on."""

QUIET_TICKS = 10
"""After so many ticks in which nothing was taken the watcher goes to sleep."""

STALE = 0.02
"""A delivery that nobody has begun after this is given back: another process may be idle."""

PING_EVERY = 3.0


class Sleeper:
    """A thread that waits for its turn, or for its result. Touched under the mutex of `Turns` only, but for `sleep`."""

    __slots__ = ("_gate", "is_awake", "reader", "result")

    def __init__(self, reader: "Takers | None" = None) -> None:
        self.result: Any = UNSETTLED
        self.reader = reader
        self.is_awake = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> bool:
        """Let the thread go on; return whether it slept."""
        if self.is_awake:
            return False
        self.is_awake = True
        self._gate.release()
        return True

    def sleep(self, timeout: float | None) -> None:
        """Return when woken, or when the time is over."""
        self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))

    def rearm(self) -> None:
        """Make ready for the next sleep."""
        if self.is_awake:
            self.is_awake = False
            self._gate.acquire(blocking=False)


def settle(waiter: "Sleeper | LoopWaiter", result: Any, calls: list[Callable[[], object]]) -> None:
    """Give a waiter its result. Called under the mutex, where threads are woken, and event loops are not."""
    waiter.result = result
    if isinstance(waiter, Sleeper):
        waiter.wake()
    else:
        calls.append(waiter.wake)


class Takers(Protocol):
    """A reader: what `Turns` knows of whoever waits for deliveries."""

    @property
    def has_ready(self) -> bool:
        """Whether there is a delivery that nobody has begun."""

    def give_back(self, before: float) -> None:
        """Give back what came before that time and nobody has begun."""


Dispatch = Callable[[list[Any], Takers | None], list[Callable[[], object]]]


class Turns:
    """Shares the reading of a line among threads.

    Parameters:
        line: what is read.
        dispatch: puts frames where they belong; called under the mutex, returns what is to be called afterwards.
    """

    def __init__(self, line: Line, dispatch: Dispatch) -> None:
        self.line = line
        self.mutex = threading.Lock()
        self.followers: deque[Sleeper] = deque()
        """Threads that would take the lead: those that wait for a delivery, and those that wait for an answer."""
        self.callers: dict[int, Sleeper | LoopWaiter] = {}
        """Token -> who waits for the answer."""
        self.readers: list[Takers] = []
        self.coroutines = 0
        """Coroutines that wait for deliveries: they cannot read the line themselves."""
        self.is_attended = False
        self._dispatch = dispatch
        self._last_take = 0.0
        self._takes = 0
        self._watcher: threading.Thread | None = None
        self._alarm = threading.Event()
        self._is_watching = False
        self._ping_due = 0.0

    # --- leading -----------------------------------------------------------------------------------------------------

    def lead(self, timeout: float | None, reader: Takers | None = None) -> None:
        """Read the line once, as its leader; then it is unattended. The caller has set `is_attended`.

        Parameters:
            timeout: how long to wait for something to read.
            reader: what the leader takes deliveries from; it will take one of those that come.
        """
        calls: list[Callable[[], object]] = []
        frames: list[Any] = []
        generation = self.line.generation
        try:
            frames = self.line.read(timeout, generation)
        finally:
            with self.mutex:
                self.is_attended = False
                # What came over a line that is lost by now is void: `_lost` has run, or waits for the mutex.
                if frames and self.line.is_up and self.line.generation == generation:
                    calls = self._dispatch(frames, reader)
        for call in calls:
            call()

    def try_to_lead(self) -> bool:
        """Become the leader, if there is none. Called under the mutex."""
        if self.is_attended:
            return False
        self.is_attended = True
        return True

    def note_take(self, now: float, more: Takers | None) -> None:
        """A thread leaves with a delivery. See to it that someone takes the next; called under the mutex.

        Parameters:
            now: the time.
            more: the reader, if it has another delivery there.
        """
        self._takes += 1
        is_slow = now - self._last_take > PACE
        self._last_take = now
        if more is None and self.is_attended:
            return
        if (is_slow or self.callers) and (self.wake_taker(more) if more else self.wake_follower()):
            return
        if not self._is_watching or self.callers:
            self.notice()

    def leave(self) -> None:
        """A thread has its answer and goes. Whoever else waits must not wait for nothing; called under the mutex."""
        if not self.is_attended and (self.callers or self.followers or self.coroutines) and not self.wake_follower():
            self._alarm.set()

    def wake_follower(self) -> bool:
        """Wake one thread that would take the lead; return whether there is one. Called under the mutex."""
        while self.followers:
            if self.followers.popleft().wake():
                return True
        return False

    def wake_taker(self, reader: Takers) -> bool:
        """Wake one thread that waits for deliveries of this reader. Called under the mutex."""
        for sleeper in self.followers:
            if sleeper.reader is reader and not sleeper.is_awake:
                self.followers.remove(sleeper)
                return sleeper.wake()
        return False

    def step_out(self, sleeper: Sleeper) -> None:
        """A thread does not wait any more. Called under the mutex."""
        if not sleeper.is_awake:
            sleeper.is_awake = True
            with contextlib.suppress(ValueError):
                self.followers.remove(sleeper)

    # --- answers -----------------------------------------------------------------------------------------------------

    def wait_answer(self, token: int, sleeper: Sleeper, timeout: float) -> None:
        """Wait until the sleeper's result is there, reading the line if nobody does; or until the time is over."""
        deadline = time.monotonic() + timeout
        try:
            while sleeper.result is UNSETTLED:
                left = deadline - time.monotonic()
                with self.mutex:
                    if sleeper.result is not UNSETTLED or left <= 0 or not self.line.is_up:
                        break
                    is_leader = self.try_to_lead()
                    if not is_leader:
                        sleeper.rearm()
                        self.followers.append(sleeper)
                if is_leader:
                    self.lead(left)
                else:
                    sleeper.sleep(left)
        finally:
            with self.mutex:
                self.callers.pop(token, None)
                self.step_out(sleeper)
                self.leave()

    async def await_answer(self, token: int, waiter: LoopWaiter, timeout: float) -> None:
        """Do as `wait_answer`; the watcher reads the line if nobody does."""
        self.watch()
        try:
            await waiter.wait(timeout)
        finally:
            with self.mutex:
                self.callers.pop(token, None)

    # --- the watcher -------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Have the watcher look now; start it if there is none."""
        if self._watcher is None:
            with self.mutex:
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="fairway-line", daemon=True)
                    self._watcher.start()
        self._alarm.set()

    def close(self) -> None:
        """Let everyone go who waits; end the watcher."""
        with self.mutex:
            while self.wake_follower():
                pass
        self._alarm.set()

    def notice(self) -> None:
        """Have the watcher look at deliveries that nobody waits for."""
        if not self._alarm.is_set():  # setting it once more costs as much as sending a message
            self._alarm.set()

    def forget(self) -> None:
        """Start anew in a forked process, which has no watcher."""
        self.mutex = threading.Lock()
        self.followers.clear()
        self.callers.clear()
        self.readers.clear()
        self.coroutines = 0
        self.is_attended = self._is_watching = False
        self._watcher = None
        self._alarm = threading.Event()

    def _watch(self) -> None:
        while not self.line.closed:
            self._alarm.wait(PING_EVERY)
            self._alarm.clear()
            self._is_watching = True
            try:
                self._look_closely()
            except Exception:
                logger.exception("the service thread of a layer failed; it goes on")
                self._is_watching = False

    def _look_closely(self) -> None:
        """Tick until all is quiet: the line attended, or nothing to attend to."""
        quiet, seen = 0, -1
        pause = FIRST_PAUSE
        while not self.line.closed:
            if time.monotonic() >= self._ping_due:
                self._ping()
            if self._takes != seen and not self.callers and not self.coroutines:
                # Messages are taken, so nothing is stuck. Under load every look but a few ends here, without a lock.
                quiet, seen = 0, self._takes
                time.sleep(TICK)
                continue
            with self.mutex:
                if quiet >= QUIET_TICKS and self._takes == seen:
                    self._is_watching = False  # under the mutex: who takes next sets the alarm, or is seen here
                    return
                is_urgent = bool(self.coroutines or any(type(c) is LoopWaiter for c in self.callers.values()))
                is_stuck = self._takes == seen or is_urgent
                seen = self._takes
                has_work = bool(self.readers or self.callers or is_urgent)
                is_leader = is_stuck and has_work and not self.is_attended and not self._follow_up(is_urgent)
                ready = [reader for reader in self.readers if reader.has_ready]
                has_ready = bool(ready)
                if is_stuck:
                    for reader in ready:
                        self.wake_taker(reader)
                if is_leader:
                    self.is_attended = True
            quiet = quiet + 1 if is_stuck and not is_leader and not has_ready else 0
            if is_stuck and has_ready:
                self._give_back()
            if not is_leader:
                time.sleep(TICK)
                continue
            if self.line.is_up:
                self.lead(STALE)
                pause = FIRST_PAUSE
            else:
                self._resign_and_connect(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    def _give_back(self) -> None:
        before = time.monotonic() - STALE
        for reader in tuple(self.readers):
            reader.give_back(before)

    def _follow_up(self, is_urgent: bool) -> bool:  # noqa: FBT001
        """Wake a follower to take the lead, unless only the watcher can. Called under the mutex."""
        return False if is_urgent and not self.followers else self.wake_follower()

    def _resign_and_connect(self, pause: float) -> None:
        with self.mutex:
            self.is_attended = False
        self.reconnect(pause)

    def reconnect(self, pause: float) -> bool:
        """Try once to reach the hub; on failure wait a little. Return whether there is a connection."""
        try:
            self.line.ensure(0)
        except LineLost:
            return False
        except Exception:  # noqa: BLE001  the line has told, once
            self.line.pause(pause)
            return False
        return True

    def _ping(self) -> None:
        """Tell the hub that this process lives."""
        if not self.line.is_up:
            return
        self._ping_due = time.monotonic() + PING_EVERY * 0.9
        self.line.post(pack(Ping()))
        self.line.write_posted()
