"""Operations run for whoever calls the layer: in a thread, in a coroutine, or for nobody.

The caller waits for the outcome as it would wait for a hub's answer; the thread that reads the line carries the
operation on.
"""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from fairway.broker.effects import Effect, Send
from fairway.errors import LayerUnavailable
from fairway.layers.hub.line import LineLost
from fairway.layers.hub.reaching import areach
from fairway.layers.hub.turns import Sleeper, Turns
from fairway.layers.redis.commands import Commands, Lease
from fairway.layers.redis.line import RedisLine
from fairway.layers.redis.operations import Steps, Tokens, answer, publish
from fairway.layers.redis.runs import Run
from fairway.layers.waiters import UNSETTLED, LoopWaiter

logger = logging.getLogger("fairway.layer")

ANSWER_TIMEOUT = 10.0
"""Seconds, beside those that a publish may wait for room, that Redis may take to answer."""


class Maker(Protocol):
    """Makes the steps of an operation, not begun: it is begun again when the line broke before it was written."""

    def __call__(self) -> Steps:
        """Return the steps."""


class Publishing:
    """Makes the steps of a publish, under one token: so that it can be withdrawn.

    Parameters:
        commands: of the layer.
        effect: what is published.
        token: by which the answer is known if it has to wait.
        timeout: seconds that it may wait.
    """

    def __init__(self, commands: Commands, effect: Effect, token: str, timeout: float) -> None:
        self.token = token
        self.channel = effect.channel if isinstance(effect, Send) and timeout > 0 else ""
        self._steps: Callable[[], Steps] = lambda: publish(commands, effect, lambda: token, timeout)

    @classmethod
    def answer(cls, commands: Commands, lease: Lease, delivery: Any, effect: Send, token: str, timeout: float) -> Self:
        """Return one for an effect that answers a held delivery's own connection."""
        made = cls(commands, effect, token, timeout)
        made._steps = lambda: answer(commands, lease, delivery, effect, lambda: token, timeout)
        return made

    def __call__(self) -> Steps:
        """Return the steps, not begun."""
        return self._steps()


class Asking:
    """Makes the steps of a question to servers. When nobody waits for the answer any more it is not asked further.

    Parameters:
        operation: takes the commands, what it is about, and what makes tokens.
        patience: seconds that servers may take to answer.
    """

    def __init__(
        self, commands: Commands, operation: Callable[..., Steps], about: str, tokens: Tokens, patience: float
    ) -> None:
        self.patience = patience
        self._steps: Callable[[], Steps] = lambda: operation(commands, about, tokens)

    def __call__(self) -> Steps:
        """Return the steps, not begun."""
        return self._steps()


class Calls:
    """Runs the operations of one layer.

    Parameters:
        line: what carries them.
        turns: who reads it.
        commands: of the layer.
        wait: seconds that a call waits for a Redis that is away.
    """

    def __init__(self, line: RedisLine, turns: Turns, commands: Commands, wait: float) -> None:
        self._line = line
        self._turns = turns
        self._commands = commands
        self._wait = wait
        self._tokens = itertools.count(1)

    def new_token(self) -> str:
        """Return a token by which an answer is known."""
        return f"{self._line.client}/{next(self._tokens)}"

    def run(self, make: Maker, timeout: float = 0, generation: int = 0) -> Any:
        """Run an operation, and wait for its outcome.

        Parameters:
            make: returns the steps.
            timeout: how long Redis may let the caller wait on purpose.
            generation: the connections that the operation is for; 0 for any.

        Raises:
            LayerUnavailable: Redis is away, went away, or did not answer. What was asked may have happened.
        """
        line, turns = self._line, self._turns
        deadline = line.deadline(self._wait)
        while True:
            if not generation:
                line.ensure(deadline - time.monotonic())
            sleeper = Sleeper()
            token, run = self._expect(make, sleeper)
            try:
                requests = run.begin()
                if run.is_over:
                    self._forget(token)
                    return run.outcome()
                line.write(requests, generation)
                turns.wait_answer(token, sleeper, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token, make, run)
                raise
            else:
                return self._outcome(sleeper.result, make, run)

    async def arun(self, make: Maker, timeout: float = 0, generation: int = 0) -> Any:
        """Do as `run`."""
        line, turns = self._line, self._turns
        deadline = line.deadline(self._wait)
        while True:
            if not generation and not line.is_up:
                await areach(line, deadline)
            waiter = LoopWaiter()
            token, run = self._expect(make, waiter)
            try:
                requests = run.begin()
                if run.is_over:
                    self._forget(token)
                    return run.outcome()
                await line.awrite(requests, generation)
                await turns.await_answer(token, waiter, timeout + ANSWER_TIMEOUT)
            except LineLost:
                self._forget(token)
                if generation or time.monotonic() > deadline:
                    raise
            except BaseException:
                self._withdraw(token, make, run)
                raise
            else:
                return self._outcome(waiter.result, make, run)

    def _expect(self, make: Maker, waiter: Sleeper | LoopWaiter) -> tuple[int, Run]:
        token = next(self._tokens)

        def end(run: Run) -> None:
            self._line.arrived.append((token, run))

        with self._turns.mutex:
            self._turns.callers[token] = waiter
        return token, Run(self._line, make(), end)

    def _forget(self, token: int) -> None:
        with self._turns.mutex:
            self._turns.callers.pop(token, None)

    def _withdraw(self, token: int, make: Maker, run: Run) -> None:
        """Nobody waits for this any more."""
        self._forget(token)
        self._stop(make, run)

    def _stop(self, make: Maker, run: Run) -> None:
        """See to it that a publish does not happen if it has not happened yet; whatever else has begun goes on."""
        if isinstance(make, Asking | Publishing):
            run.stop()
        if isinstance(make, Publishing) and make.channel:
            self._line.post([self._line.request(self._commands.withdraw(make.channel, make.token), give_up_on_error)])
            self._line.write_posted()

    def _outcome(self, result: Any, make: Maker, run: Run) -> Any:
        if isinstance(result, Run):
            return result.outcome()
        address = self._line.nodes.address
        if result is UNSETTLED:
            self._stop(make, run)
            self._line.look_for_silence()  # whoever only publishes notices by this that the connection is dead
        if result is UNSETTLED and not self._line.closed:
            if isinstance(make, Asking):
                msg = f"a server did not answer a question about its connections within {make.patience:g} s"
                raise LayerUnavailable(msg)
            msg = f"Redis at {address} did not answer within {ANSWER_TIMEOUT:g} s"
            raise LayerUnavailable(msg)
        msg = "the layer is closed" if self._line.closed else f"Redis at {address} went away before it answered"
        raise LayerUnavailable(msg)

    def start(self, make: Maker) -> None:
        """Begin an operation that nobody waits for."""
        run = Run(self._line, make(), _log_failure)
        requests = run.begin()
        if run.is_over:
            _log_failure(run)
            return
        with contextlib.suppress(LineLost):
            self._line.send_soon(requests)


def give_up_on_error(result: Any) -> None:
    """Take the result of a command that nobody waits for: the line is given up when it could not be run."""
    if isinstance(result, LayerUnavailable):
        raise result


def _log_failure(run: Run) -> None:
    if run.error and not isinstance(run.error, LayerUnavailable):
        logger.error("the layer failed to look after itself", exc_info=run.error)
