"""The files that a trace can be: JSON Lines, and Chrome's trace events, which Perfetto opens."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, Protocol, TextIO

    Record = Mapping[str, Any]

    class Format(Protocol):
        """Writes records to a file."""

        def write(self, record: Record) -> None: ...
        def finish(self) -> None: ...


JSON_LINES: Final = "jsonl"
PERFETTO: Final = "perfetto"
FORMATS: Final = (JSON_LINES, PERFETTO)

_dump = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class JsonLines:
    """One record a line, as it is."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: Record) -> None:
        self._file.write(_dump(record) + "\n")

    def finish(self) -> None:
        """Nothing closes this format."""


class Perfetto:
    """Trace Event Format, JSON array: one track per device, one per queue, levels as counters.

    Times are microseconds there. The array's end may be missing in a file that was cut off.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._tracks: dict[str, int] = {}
        self._separator = "[\n"
        self._event({"ph": "M", "name": "process_name", "args": {"name": "calypso"}})

    def write(self, record: Record) -> None:
        match record["kind"]:
            case "read" | "write":
                self._access(record)
            case "request":
                self._request(record)
            case "irq":
                name = f"{record['device']}.{record['line']}"
                self._event(
                    {"ph": "C", "name": name, "args": {"level": record["level"]}}, record["t"]
                )
            case "input" | "guest":
                self._instant(record)

    def finish(self) -> None:
        self._file.write("\n]\n")

    def _access(self, record: Record) -> None:
        self._event(
            {
                "ph": "X",
                "name": f"{record['register']} {record['kind'][0].upper()}",
                "cat": record["kind"],
                "tid": self._track(record["device"]),
                "dur": record["took"] / 1000,
                "args": {
                    "value": f"{record['value']:#x}",
                    "pc": f"{record['pc']:#x}",
                    **record["fields"],
                },
            },
            record["t"],
        )

    def _request(self, record: Record) -> None:
        event = {
            "name": record["summary"] or "request",
            "cat": "request",
            "id": record["n"],
            "tid": self._track(f"{record['device']} queue {record['queue']}"),
        }
        shown = {key: record[key] for key in ("head", "descriptors", "written")}
        self._event({"ph": "b", "args": shown, **event}, record["t"])
        self._event({"ph": "e", **event}, record["t"] + record["took"])

    def _instant(self, record: Record) -> None:
        name = record.get("method") or record.get("text")
        track = self._track(record.get("device") or "guest")
        self._event({"ph": "i", "s": "t", "name": name, "tid": track}, record["t"])

    def _track(self, name: str) -> int:
        track = self._tracks.get(name)
        if track is None:
            track = self._tracks[name] = len(self._tracks) + 1
            self._event({"ph": "M", "name": "thread_name", "tid": track, "args": {"name": name}})
        return track

    def _event(self, event: dict[str, Any], time: int = 0) -> None:
        whole = {"pid": 1, "tid": 0, "ts": time / 1000, **event}
        self._file.write(self._separator + _dump(whole))
        self._separator = ",\n"
