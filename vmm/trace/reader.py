"""Reads a trace back."""

from __future__ import annotations

import json

from vmm.errors import UsageError
from vmm.trace.recorder import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


class Trace:
    """A whole trace in memory.

    Attributes:
        path: of its file.
        header: its first record.
        records: what happened, by the time at which it began.
        devices: the records of kind ``device`` by the device's name.
        places: by the name of a region, of which device it is one, and where that has it.
        symbols: names of code by program counter.
        cut: the file's last line is not whole: the machine was killed.
    """

    def __init__(self, path: str) -> None:
        """Read ``path``.

        Raises:
            UsageError: if it cannot be read, or is no trace.
        """
        self.path = path
        self.header: Record = {}
        self.records: list[Record] = []
        self.devices: dict[str, Record] = {}
        self.places: dict[str, tuple[str, list[str | int]]] = {}
        self.symbols: dict[int, str] = {}
        self.cut = False
        try:
            with open(path, encoding="ascii") as file:
                for number, line in enumerate(file, 1):
                    self._take(number, line)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{path} is no trace: it is not text") from None
        if not self.header:
            raise UsageError(f"{path} is no trace: it is empty")
        self.records.sort(key=lambda record: record["n"])

    def _take(self, number: int, line: str) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            if number > 1 and not line.endswith("\n"):
                self.cut = True
                return
            raise UsageError(self._complaint(number)) from None
        if number == 1:
            if not isinstance(record, dict) or record.get("calypso-trace") != VERSION:
                raise UsageError(self._complaint(number))
            self.header = record
            return
        try:
            self._sort_in(record)
        except (KeyError, TypeError, AttributeError):
            raise UsageError(self._complaint(number)) from None

    def _complaint(self, number: int) -> str:
        if number == 1:
            return (
                f"{self.path} is no trace of this version in JSON Lines,"
                " as 'vmm run --trace FILE' writes it"
            )
        return f"{self.path}, line {number}: this is no record of a trace"

    def _sort_in(self, record: Record) -> None:
        match record["kind"]:
            case "symbol":
                self.symbols[record["pc"]] = record["name"]
            case "device":
                self._describe(record)
            case _:
                # Every reader sorts by it.
                int(record["n"]), int(record["t"])
                self.records.append(record)

    def _describe(self, record: Record) -> None:
        if "whole" in record:
            self.places[record["device"]] = (record["whole"], record["place"])
        else:
            self.devices.setdefault(record["device"], record)

    def place(self, record: Record) -> str:
        """Return where in the guest's code ``record`` was made; "" if nowhere."""
        pc = record.get("pc")
        return "" if pc is None else self.symbols.get(pc, f"{pc:#x}")
