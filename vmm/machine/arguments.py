"""What Python programs give to a machine, checked: type checkers are not always asked."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping

from vmm.devices.peripheral import Peripheral
from vmm.machine.config import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def check_text(name: str, given: object) -> str:
    """Return what is ``given`` for the argument ``name``.

    Raises:
        TypeError: if it is no text.
    """
    if not isinstance(given, str):
        raise TypeError(f"{name}={given!r}: a str is needed")
    return given


def check_path(name: str, given: object) -> str:
    """Return what is ``given`` for the argument ``name`` as a text.

    Raises:
        TypeError: if it is neither a text nor a path.
    """
    path = _plain(given)
    if not isinstance(path, str):
        raise TypeError(f"{name}={given!r}: a str or a path is needed")
    return path


def check_number(name: str, given: object) -> int:
    """Return what is ``given`` for the argument ``name``.

    Raises:
        TypeError: if it is no integer.
    """
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={given!r}: an int is needed") from None


def check_size(name: str, given: object) -> int:
    """Return the number of bytes that is ``given``, or meant, for the argument ``name``.

    Raises:
        TypeError: if it is neither an integer nor a text.
        UsageError: if it is a text that means none.
    """
    return parse_size(given) if isinstance(given, str) else check_number(name, given)


def check_input(given: object) -> None:
    """See that what is ``given`` for the argument ``stdin`` can be.

    Raises:
        TypeError: if it is not bytes.
    """
    if given is not None and not isinstance(given, (bytes, bytearray, memoryview)):
        raise TypeError(f"stdin={given!r}: bytes are needed")


def check_environment(given: object) -> tuple[tuple[str, str], ...]:
    """Return what is ``given`` for the argument ``env``.

    Raises:
        TypeError: if it is not a mapping of texts to texts.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"env={given!r}: a dict of str is needed")
    for name, content in given.items():
        if not isinstance(name, str) or not isinstance(content, str):
            raise TypeError(f"env: {name!r}: {content!r} is not a str for a str")
    return tuple(given.items())


def check_texts(name: str, given: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Return what is ``given`` for the argument ``name`` as texts.

    Raises:
        TypeError: if it is one text, whose letters would be taken for a list, or contains others.
    """
    _check_list(name, given)
    texts = tuple([_plain(item) for item in given])
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


def _plain(given: Any) -> Any:
    """Return a path's text or bytes, and all else as it is."""
    return os.fspath(given) if isinstance(given, os.PathLike) else given


def _check_list(name: str, given: object) -> None:
    one = isinstance(given, (str, bytes, os.PathLike, Peripheral))
    if one or not isinstance(given, Iterable):
        raise TypeError(f"{name}={given!r}: a list is needed, [{given!r}]")
