"""A device's part of a trace as a script: what it did, in order, to be done again.

The replayed device gets its RAM and its host's ends from here. Each thing that it does must be the
next in the script; if not, `Departure` is raised where the device does it.
"""

from __future__ import annotations

import builtins
import os

from vmm.devices.virtio.chain import copy_to
from vmm.trace.ends import Absent, End, encode_arguments, is_function, writable_views
from vmm.trace.values import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from vmm.trace.ends import Function
    from vmm.trace.reader import Record

# What drives a device, and what it does then.
CUES: Final = ("read", "write", "input")
DEEDS: Final = ("irq", "dma", "call")

# What tells deeds apart; of a call that is all but what came of it.
_DEED: Final = {
    "irq": ("line", "level"),
    "dma": ("op", "address", "length", "data"),
    "call": ("end", "method", "arguments", "options"),
}


class Departure(BaseException):
    """The device does something else than it did. No handler of the device's may catch it.

    Attributes:
        recorded: what was to come, None if nothing was.
        replayed: what the device does, in the same form; None if it does nothing.
    """

    def __init__(self, recorded: Record | None, replayed: Record | None) -> None:
        self.recorded = recorded
        self.replayed = replayed
        super().__init__("the device departs from what was recorded")


class Script:
    """The records of one device, and how far a replay has come.

    Args:
        names: the device's, and those of its regions.
        records: those of all devices.
        act: carries out a record of an input.

    Attributes:
        position: index of the next record.
        begun: the device is complete; nothing that it does before is compared.
    """

    def __init__(
        self, names: Sequence[str], records: list[Record], act: Callable[[Record], None]
    ) -> None:
        self._device = names[0]
        kinds = (*CUES, *DEEDS)
        self._records = [r for r in records if r["kind"] in kinds and r["device"] in names]
        self.position = 0
        self._act = act
        self._callbacks: dict[int, Function] = {}
        self._seen: dict[tuple[str, str], object] = {}
        self.begun = False

    def peek(self) -> Record | None:
        """Return the next record; None at the end."""
        return self._records[self.position] if self.position < len(self._records) else None

    def take(self) -> Record | None:
        """Return the next record and go on; None at the end."""
        record = self.peek()
        self.position += 1
        return record

    def done_since(self, position: int) -> tuple[Record, ...]:
        """Return what the device has done since the script was at ``position``."""
        return tuple(self._records[position : self.position])

    def callback(self, number: int) -> Function:
        """Return the function that the device handed over in call ``number``."""
        return self._callbacks[number]

    def host_object(self, name: str) -> End:
        """Return the end called ``name``."""
        return End(self, name, Absent({}))

    # ---- What the device does ----

    def irq(self, line: str, level: bool) -> None:
        """Drive an interrupt line."""
        self._expect("irq", line=line, level=int(level))

    def read(self, gpa: int, view: memoryview) -> None:
        """Read RAM."""
        record = self._expect("dma", op="read", address=gpa, length=len(view))
        if record is not None:
            view[:] = decode(record["data"])

    def refresh(self, gpa: int, view: memoryview) -> None:
        """Read what was new there."""
        while True:
            record = self.peek()
            if record is None or record["kind"] != "dma" or record["op"] != "read":
                return
            start = record["address"] - gpa
            if not 0 <= start <= len(view) - record["length"]:
                return
            self.read(record["address"], view[start : start + record["length"]])

    def write(self, gpa: int, view: memoryview) -> None:
        """Write RAM."""
        self._expect("dma", op="write", address=gpa, length=len(view), data=encode(view))

    def discard(self, gpa: int, length: int) -> None:
        """Give pages back."""
        self._expect("dma", op="discard", address=gpa, length=length)

    def call(
        self, end: str, method: str, function: Function, *arguments: Any, **options: Any
    ) -> Any:
        """Ask the host; it answers as it did."""
        upcoming = self.peek()
        number = -1 if upcoming is None else upcoming["n"]
        given, named = encode_arguments(number, arguments, options)
        record = self._expect("call", end=end, method=method, arguments=given, options=named)
        if record is None:
            return None
        for item in arguments:
            if is_function(item):
                self._callbacks[number] = item
        self._act_within(number)
        if "filled" in record:
            copy_to(writable_views(arguments), decode(record["filled"]))
        if "error" in record:
            raise _error(*record["error"])
        return self._result(record["result"])

    def look(self, end: str, attribute: str, value: Any) -> Any:
        """Look at an attribute of an end, which is as it was in the beginning or last seen."""
        record = self.peek()
        if self.begun and record is not None and record.get("attribute") == f"{end}.{attribute}":
            self.position += 1
            self._seen[end, attribute] = decode(record["result"])
        return self._seen.get((end, attribute), value)

    def _act_within(self, number: int) -> None:
        """Let the host do what it did during call ``number``."""
        while (record := self.peek()) is not None and record["kind"] == "input":
            if record.get("in") != number:
                return
            self.position += 1
            self._act(record)

    def _result(self, result: Any) -> Any:
        if isinstance(result, dict) and "end" in result:
            return self.host_object(result["end"])
        return decode(result)

    def _expect(self, kind: str, **deed: object) -> Record | None:
        """Go on if this is the next deed; return its record, None before the device is complete."""
        if not self.begun:
            return None
        record = self.peek()
        if record is None or record["kind"] != kind or not _same(record, deed):
            raise Departure(record, {"kind": kind, "device": self._device, **deed})
        self.position += 1
        return record


def _same(record: Record, deed: dict[str, object]) -> bool:
    return all(record.get(key) == deed[key] for key in _DEED[record["kind"]] if key in deed)


def _error(name: str, number: int | None) -> BaseException:
    """Return the exception that a call of the host ended with."""
    if number is not None:
        return OSError(number, os.strerror(number))
    kind = getattr(builtins, name, OSError)
    return kind() if issubclass(kind, Exception) else OSError()
