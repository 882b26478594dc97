"""What devices and processors are given: the few protocols through which they act on the machine.

A device is pure state plus these injected objects. It has no thread and no clock of its own, and
knows neither its address nor the backend. A backend knows none of the devices. The board connects
them.
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

    class Watch(Protocol):
        """One descriptor of the host that a device waits for. For callers with the bus lock."""

        def arm(self, *, read: bool = False, write: bool = False) -> None:
            """Call back once, soon, when the descriptor can be read, or written, or has failed.

            Replaces what was asked for before; without either, nothing is waited for.
            """
            ...

        def close(self) -> None:
            """Stop waiting, before the descriptor is closed; harmless when closed."""
            ...

    class Descriptors(Protocol):
        """Waits for descriptors of the host. Callbacks run with the bus lock held."""

        def watch(self, fd: int, callback: Callable[[], None], /) -> Watch:
            """Return a watch on ``fd`` that waits for nothing yet."""
            ...
