"""A trace in figures: how often what was accessed, and how long it took."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from vmm.trace.reader import Record

# Bars of a histogram are so many characters wide at most.
_BAR: Final = 40

_HEAD: Final = ("count", "min us", "median us", "99 % us", "total ms")


def tabulate(records: Iterable[Record]) -> Iterator[str]:
    """Yield a table with a row for each register and direction, and for each kind of request."""
    durations: dict[str, list[int]] = {}
    for record in records:
        name = _name(record)
        if name:
            durations.setdefault(name, []).append(record["took"])
    if not durations:
        return
    width = max(len(name) for name in durations)
    yield f"{'':{width}}  {_HEAD[0]:>8}" + "".join(f"  {head:>10}" for head in _HEAD[1:])
    for name, times in sorted(durations.items(), key=lambda item: -len(item[1])):
        times.sort()
        figures = (times[0], times[len(times) // 2], times[len(times) * 99 // 100])
        row = f"{name:{width}}  {len(times):8}"
        row += "".join(f"  {figure / 1000:10.1f}" for figure in figures)
        yield f"{row}  {sum(times) / 1e6:10.3f}"


def histogram(records: Iterable[Record]) -> Iterator[str]:
    """Yield a histogram of durations for accesses, and one for requests; bins are powers of two."""
    for title, kinds in (("accesses", ("read", "write")), ("requests", ("request",))):
        bins: dict[int, int] = {}
        for record in records:
            if record["kind"] in kinds:
                power = record["took"].bit_length()
                bins[power] = bins.get(power, 0) + 1
        if not bins:
            continue
        yield f"{title}:"
        most = max(bins.values())
        for power in range(min(bins), max(bins) + 1):
            count = bins.get(power, 0)
            bar = "#" * -(-count * _BAR // most)
            yield f"  < {(1 << power) / 1000:10.1f} us {count:8} {bar}"


def _name(record: Record) -> str:
    match record["kind"]:
        case "read" | "write":
            register = record["register"].partition("[")[0]
            return f"{record['device']}.{register} {record['kind'][0].upper()}"
        case "request":
            what = record["summary"].partition(" ")[0]
            return f"{record['device']} queue {record['queue']} {what}"
        case _:
            return ""
