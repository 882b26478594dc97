"""What a trace holds of Python's values: as JSON, and back."""

from __future__ import annotations

from vmm.devices.device import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def encode(item: object) -> object:
    """Return ``item`` for JSON: bytes, tuples and a device's `State` are marked as what they are.

    What is none of these nor plain becomes its ``repr``, which nothing can be made of again.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(item).hex()}
    if isinstance(item, (tuple, list)):
        return [encode(element) for element in item]
    if isinstance(item, State):
        values = {name: encode(element) for name, element in item.values}
        return {"state": item.device, "version": item.version, "values": values}
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    return repr(item)


def decode(item: Any) -> Any:
    """Return what `encode` was given; lists have become tuples.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: if it is nothing that `encode` gives.
    """
    if isinstance(item, list):
        return tuple(decode(element) for element in item)
    if not isinstance(item, dict):
        return item
    if "bytes" in item:
        return bytes.fromhex(item["bytes"])
    values = tuple((name, decode(element)) for name, element in item["values"].items())
    return State(item["state"], item["version"], values)
