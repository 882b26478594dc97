"""A trace as one HTML page: a timeline that opens in a browser and needs no network."""

from __future__ import annotations

import json
from pathlib import Path

from vmm.trace.listing import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from vmm.trace.reader import Record, Trace

_TEMPLATE: Final = Path(__file__).with_name("timeline.html")
_PLACE: Final = "/*TRACE*/null"


def render(trace: Trace, records: Sequence[Record]) -> str:
    """Return the page for ``records`` of ``trace``.

    A device has a track with its accesses, one for each of its lines, and one for each queue.
    """
    tracks: dict[str, int] = {}
    events = []
    for record in records:
        track = tracks.setdefault(_track(record), len(tracks))
        events.append(
            [
                track,
                record["t"],
                record.get("took", 0),
                record["kind"],
                describe(record),
                trace.place(record),
                record.get("level", 0),
            ]
        )
    data: dict[str, Any] = {
        "title": f"{trace.header['title']}, {trace.header['backend']} backend",
        "tracks": sorted(tracks),
        "order": [sorted(tracks).index(name) for name in tracks],
        "events": events,
    }
    # Inside a script, only this could end it.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, text)


def _track(record: Record) -> str:
    match record["kind"]:
        case "request":
            return f"{record['device']} queue {record['queue']}"
        case "irq":
            return f"{record['device']} {record['line']}"
        case "guest":
            return "guest"
        case _:
            return str(record["device"])
