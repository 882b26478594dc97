"""What a trace holds of Python's values: as JSON, and back."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

from vmm.devices.device import State
from vmm.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def encode(item: object) -> object:
    """Return ``item`` for JSON: bytes, tuples and a device's `State` are marked as what they are.

    What is none of these nor plain becomes its ``repr``, which nothing can be made of again.
    """
    if isinstance(item, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(item).hex()}
    if isinstance(item, tuple) and hasattr(item, "n_fields"):
        # os.stat_result and its like, of which some fields are no elements.
        fields = [name for name in dir(item) if name.startswith(("st_", "f_"))]
        return {"fields": {name: getattr(item, name) for name in fields}}
    if isinstance(item, (tuple, list)):
        return [encode(element) for element in item]
    if isinstance(item, State):
        values = {name: encode(element) for name, element in item.values}
        return {"state": item.device, "version": item.version, "values": values}
    if is_plain(item):
        return item
    return repr(item)


def is_plain(item: object) -> bool:
    """Tell whether ``item`` is the same in JSON."""
    return item is None or isinstance(item, (bool, int, float, str))


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
    if "fields" in item:
        return SimpleNamespace(**item["fields"])
    values = tuple((name, decode(element)) for name, element in item["values"].items())
    return State(item["state"], item["version"], values)


def class_path(item: object) -> str:
    """Return the name of the class of ``item``, as MODULE:CLASS."""
    kind = type(item)
    return f"{kind.__module__}:{kind.__qualname__}"


def find_class(path: str) -> Any:
    """Return the class that `class_path` has named.

    Raises:
        UsageError: if it is no longer there.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{path} cannot be imported here: {error}") from None
