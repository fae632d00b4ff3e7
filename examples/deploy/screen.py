"""The live count: a block that is drawn again and again on a terminal, a line a second where there is none."""

import shutil
import sys
import time

BAR = 24


class Screen:
    """Shows a tally. Parameters: the tally, and how many sockets there shall be."""

    def __init__(self, tally, size):
        self._tally = tally
        self._size = size
        self._began = time.monotonic()
        self._is_live = sys.stdout.isatty()
        self._height = 0
        """Lines of the block that stand on the screen."""
        self._before = (self._began, 0, {})
        self._rate = 0.0
        self._rates = {}

    @property
    def interval(self):
        """Seconds between two counts."""
        return 0.25 if self._is_live else 1.0

    def say(self, text):
        """Tell what is happening; it stays above the count."""
        self._clear()
        print(f"{self._clock()}  {self._bold(text)}", flush=True)
        if self._is_live:
            self._draw()

    def show(self):
        """Show the count as it stands."""
        self._measure()
        if self._is_live:
            self._clear()
            self._draw()
        else:
            print(f"{self._clock()}  {self._line()}", flush=True)

    def end(self):
        """Leave the count where it is."""
        self._height = 0

    def _measure(self):
        tally, now = self._tally, time.monotonic()
        then, answered, by_worker = self._before
        if now - then >= 0.9:
            self._rate = (tally.answered - answered) / (now - then)
            self._rates = {
                worker: (count - by_worker.get(worker, 0)) / (now - then) for worker, count in tally.by_worker.items()
            }
            self._before = (now, tally.answered, dict(tally.by_worker))

    def _line(self):
        tally = self._tally
        workers = ", ".join(f"{worker[1]} (release {worker[0]})" for worker in self._busy())
        return (
            f"{tally.open:,} open, {tally.closed} closed; {tally.answered:,} answered, {self._rate:,.0f}/s; "
            f"{tally.repeated} run again, {tally.lost} lost, {tally.disordered} out of order, "
            f"{tally.doubled} twice; by {workers or 'nobody'}"
        )

    def _faults(self):
        tally = self._tally
        counts = {
            "closed": tally.closed,
            "lost": tally.lost,
            "out of order": tally.disordered,
            "consumed twice": tally.doubled,
        }
        return "   ".join(f"{name} {count}" for name, count in counts.items())

    def _busy(self):
        return sorted(worker for worker, rate in self._rates.items() if rate)

    def _draw(self):
        tally = self._tally
        fine, bad = ("\x1b[32m", "\x1b[31m")
        colour = bad if tally.faults else fine
        lines = [
            "",
            f"  sockets   {colour}{tally.open:>9,}\x1b[0m open of {self._size:,}",
            f"  messages  {tally.answered:>9,} answered   {self._rate:>7,.0f} a second   slowest {tally.slowest:.2f} s",
            f"            {tally.repeated:>9,} run again, because their worker died",
            f"  {colour}{self._faults()}\x1b[0m",
            "",
        ]
        most = max(self._rates.values(), default=0) or 1
        for release, worker in self._busy():
            rate = self._rates[release, worker]
            bar = "█" * max(1, round(BAR * rate / most))
            lines.append(f"  worker {worker:<8} release {release:<3} {bar:<{BAR}} {rate:>6,.0f} a second")
        height = shutil.get_terminal_size().lines - 2
        lines = lines[:height]
        print("\n".join(lines), flush=True)
        self._height = len(lines)

    def _clear(self):
        if self._height:
            print(f"\x1b[{self._height}A\x1b[J", end="")
            self._height = 0

    def _clock(self):
        return f"{time.monotonic() - self._began:5.1f} s"

    def _bold(self, text):
        return f"\x1b[1m{text}\x1b[0m" if self._is_live else text
