"""Lists that Python programs give to a machine, checked: type checkers are not always asked."""

from __future__ import annotations

import os

from vmm.devices.peripheral import Peripheral

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def check_texts(name: str, given: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return what is ``given`` for the argument ``name`` as texts.

    Raises:
        TypeError: if it is one text, whose letters would be taken for a list, or contains others.
    """
    _check_list(name, given)
    texts = tuple([os.fspath(item) for item in given])
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name}: {text!r} is not a str")
    return texts


def check_devices(given: Sequence[str | Peripheral]) -> tuple[str | Peripheral, ...]:
    """Return what is ``given`` for the argument ``devices``.

    Raises:
        TypeError: if it is one text or device, or contains something else.
    """
    _check_list("devices", given)
    for device in given:
        if not isinstance(device, (str, Peripheral)):
            raise TypeError(f"devices: {device!r} is neither a str nor a Peripheral")
    return tuple(given)


def _check_list(name: str, given: object) -> None:
    if isinstance(given, (str, bytes, os.PathLike, Peripheral)):
        raise TypeError(f"{name}={given!r}: a list is needed, [{given!r}]")
