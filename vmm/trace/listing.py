"""A trace as lines, for people."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from vmm.trace.reader import Record, Trace

NS: Final = 1_000_000_000
_SHOWN_DESCRIPTORS: Final = 8


def list_records(trace: Trace, records: list[Record]) -> Iterator[str]:
    """Yield a line for each of ``records``: time, vCPU, what, and where in the guest's code."""
    for record in records:
        where = trace.place(record)
        cpu = f"cpu{record['vcpu']}" if "vcpu" in record else "-"
        line = f"{record['t'] / NS:12.6f} {cpu:>4}  {describe(record)}"
        yield f"{line:<84}  {where}".rstrip()


def describe(record: Record) -> str:
    """Return what ``record`` is about, without time and place."""
    match record["kind"]:
        case "read" | "write":
            return describe_access(record)
        case "irq":
            verb = "rises" if record["level"] else "falls"
            return f"{record['device']}.{record['line']} {verb}"
        case "input":
            arguments = ", ".join(_show(item) for item in record["arguments"])
            return f"{record['device']}.{record['method']}({arguments})"
        case "request":
            return _describe_request(record)
        case "guest":
            return f"guest: {record['text']}"
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


def _show(item: object) -> str:
    if isinstance(item, dict) and "bytes" in item:
        return repr(bytes.fromhex(item["bytes"]))
    return repr(item)
