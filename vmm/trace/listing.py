"""A trace as lines, for people."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from vmm.trace.reader import Record, Trace
    from vmm.trace.replay import Difference

NS: Final = 1_000_000_000
_SHOWN_DESCRIPTORS: Final = 8
_SHOWN_BYTES: Final = 16
_SHOWN_BEFORE: Final = 8


def list_records(trace: Trace, records: list[Record]) -> Iterator[str]:
    """Yield a line for each of ``records``: time, vCPU, what, and where in the guest's code."""
    for record in records:
        where = trace.place(record)
        cpu = f"cpu{record['vcpu']}" if "vcpu" in record else "-"
        line = f"{record['t'] / NS:12.6f} {cpu:>4}  {describe(record)}"
        yield f"{line:<84}  {where}".rstrip()


def describe_difference(difference: Difference) -> Iterator[str]:
    """Yield lines that say where a replay departs from the trace."""
    place = f", at {difference.place}" if difference.place else ""
    yield f"step {difference.step}, {describe(difference.during)}{place}:"
    if len(difference.before) > _SHOWN_BEFORE:
        yield f"           {len(difference.before) - _SHOWN_BEFORE} more"
    for record in difference.before[-_SHOWN_BEFORE:]:
        yield f"           {describe(record)}"
    recorded, replayed = difference.recorded, difference.replayed
    yield f"  recorded {'nothing more' if recorded is None else describe(recorded)}"
    yield f"  replayed {'nothing of this' if replayed is None else describe(replayed)}"
    if recorded is not None and replayed is not None and "data" in recorded and "data" in replayed:
        yield from _compare_data(recorded, replayed)


def _compare_data(recorded: Record, replayed: Record) -> Iterator[str]:
    """Yield where the data of two accesses to the same place first differs."""
    if (recorded["op"], recorded["address"]) != (replayed["op"], replayed["address"]):
        return
    before, now = (bytes.fromhex(record["data"]["bytes"]) for record in (recorded, replayed))
    for place, (old, new) in enumerate(zip(before, now, strict=False)):
        if old != new:
            address = recorded["address"] + place
            yield f"  first at {address:#x} (+{place:#x}): {old:#04x} recorded, {new:#04x} replayed"
            return


def describe(record: Record) -> str:
    """Return what ``record`` is about, without time and place."""
    match record["kind"]:
        case "read" | "write":
            return describe_access(record)
        case "irq":
            verb = "rises" if record["level"] else "falls"
            return f"{record['device']}.{record['line']} {verb}"
        case "input":
            return _describe_input(record)
        case "request":
            return _describe_request(record)
        case "dma":
            return _describe_dma(record)
        case "call":
            return _describe_call(record)
        case "guest":
            return f"guest: {record['text']}"
        case "raises":
            return f"{record['device']} raises {record['text']}"
        case other:
            return str(other)


def describe_access(record: Record) -> str:
    """Return for example ``pl011.CR W 0x301 UARTEN=1 TXE=1 RXE=1``."""
    verb = "R" if record["kind"] == "read" else "W"
    words = [f"{record['device']}.{record['register']}", verb, f"{record['value']:#x}"]
    words += describe_fields(record["fields"])
    return " ".join(words)


def describe_fields(fields: dict[str, int]) -> list[str]:
    """Return the fields that are not zero."""
    return [f"{name}={_number(content)}" for name, content in fields.items() if content]


def _describe_request(record: Record) -> str:
    descriptors = record["descriptors"]
    shown = [
        f"{address:#x}+{length}{'w' if writable else 'r'}"
        for address, length, writable in descriptors[:_SHOWN_DESCRIPTORS]
    ]
    if len(descriptors) > _SHOWN_DESCRIPTORS:
        shown.append(f"{len(descriptors) - _SHOWN_DESCRIPTORS} more")
    return (
        f"{record['device']} queue {record['queue']} head {record['head']}: {record['summary']}"
        f" [{' '.join(shown)}] {record['written']} written, {record['took'] / 1000:.1f} us"
    )


def _number(content: int) -> str:
    return str(content) if content < 10 else f"{content:#x}"


def _describe_input(record: Record) -> str:
    part = f"{record['part']}." if "part" in record else ""
    line = f"{record['device']}.{part}{record['method']}({_show_arguments(record)})"
    return f"{line} = {_show(record['result'])}" if "result" in record else line


def _describe_dma(record: Record) -> str:
    verb = {"read": "R", "write": "W"}.get(record["op"], record["op"])
    line = f"{record['device']} dma {verb} {record['address']:#x}+{record['length']}"
    if "data" not in record:
        return line
    data = bytes.fromhex(record["data"]["bytes"])
    more = "..." if len(data) > _SHOWN_BYTES else ""
    return f"{line}  {data[:_SHOWN_BYTES].hex(' ')}{more}"


def _describe_call(record: Record) -> str:
    if "attribute" in record:
        return f"{record['device']} sees {record['attribute']} = {_show(record['result'])}"
    name = f"{record['end']}.{record['method']}".rstrip(".")
    line = f"{record['device']} calls {name}({_show_arguments(record)})"
    if "error" in record:
        kind, number = record["error"]
        return f"{line}: {kind} {number}"
    if record.get("filled"):
        line += f" -> {_show(record['filled'])}"
    result = record.get("result")
    return line if result is None else f"{line} = {_show(result)}"


def _show_arguments(record: Record) -> str:
    shown = [_show(item) for item in record["arguments"]]
    shown += [f"{name}={_show(item)}" for name, item in record["options"].items()]
    return ", ".join(shown)


def _show(item: object) -> str:
    if not isinstance(item, dict):
        return repr(item)
    if "bytes" in item:
        data = bytes.fromhex(item["bytes"])
        shown = repr(data[:_SHOWN_BYTES])
        return shown if len(data) <= _SHOWN_BYTES else f"{shown}... {len(data)} bytes"
    if "room" in item:
        return f"room for {item['room']}"
    return str(item.get("end", "function" if "callback" in item else "..."))
