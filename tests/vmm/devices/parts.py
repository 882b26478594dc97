"""What tests connect to devices in place of a machine."""

from __future__ import annotations

from collections.abc import Callable


class Wire:
    """An interrupt line that remembers what was done to it."""

    def __init__(self) -> None:
        self.level = False
        self.rises = 0
        self.calls = 0

    def __call__(self, level: bool, /) -> None:
        self.calls += 1
        if level and not self.level:
            self.rises += 1
        self.level = level


class Screen:
    """A sink of bytes."""

    def __init__(self) -> None:
        self.text = b""

    def __call__(self, data: bytes) -> None:
        self.text += data


class ManualClock:
    """A clock that goes only when the test says so."""

    def __init__(self, start: int = 0) -> None:
        self.time = start
        self.timers: list[ManualTimer] = []

    def now(self) -> int:
        return self.time

    def timer(self, callback: Callable[[], None]) -> ManualTimer:
        timer = ManualTimer(callback)
        self.timers.append(timer)
        return timer

    def advance(self, nanoseconds: int) -> None:
        """Let time pass; timers fire in order, each at its deadline."""
        end = self.time + nanoseconds
        while True:
            due = [t for t in self.timers if t.deadline is not None and t.deadline <= end]
            if not due:
                break
            timer = min(due, key=lambda t: t.deadline or 0)
            self.time = max(self.time, timer.deadline or 0)
            timer.deadline = None
            timer.callback()
        self.time = end


class ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.deadline: int | None = None

    def arm(self, deadline: int) -> None:
        self.deadline = deadline

    def cancel(self) -> None:
        self.deadline = None
