"""What a device is given: the few protocols through which it acts on the machine.

A device is pure state plus these injected objects. It has no thread and no clock of its own, and
knows neither its address nor the backend. The board connects them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Region(Protocol):
        """A range of registers on a bus.

        ``offset`` is relative to the region's base; ``size`` is 1, 2, 4 or 8 bytes; values are
        unsigned and fit ``size``. Neither call may raise: whatever a guest does is answered as the
        device's specification says.
        """

        def read(self, offset: int, size: int) -> int: ...
        def write(self, offset: int, size: int, value: int) -> None: ...

    class InterruptLine(Protocol):
        """A level-triggered wire into an interrupt controller; True asserts it.

        May be called from any thread that holds the bus lock. Setting the level that the line has
        already is free of effects.
        """

        def __call__(self, level: bool, /) -> None: ...

    class MessageSink(Protocol):
        """Where message-signalled interrupts go: a 32-bit ``data`` written to ``address``."""

        def __call__(self, address: int, data: int, /) -> None: ...

    class InterruptSource(Protocol):
        """An interrupt controller as a processor sees it: one request, one acknowledge cycle."""

        def pending(self) -> bool:
            """Tell whether an interrupt is requested now."""
            ...

        def acknowledge(self) -> int:
            """Take the request of highest priority and return its vector (or the spurious one)."""
            ...

    class Timer(Protocol):
        """One alarm of a clock. The callback runs with the bus lock held."""

        def arm(self, deadline: int) -> None:
            """Fire once when the clock reads ``deadline`` ns or more; replaces any earlier one."""
            ...

        def cancel(self) -> None:
            """Forget the deadline; harmless when none is set."""
            ...

    class Clock(Protocol):
        """Guest time: monotonic nanoseconds since the machine was created."""

        def now(self) -> int: ...
        def timer(self, callback: Callable[[], None]) -> Timer: ...
