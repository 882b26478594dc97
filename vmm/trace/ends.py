"""The host's ends of a device, as a trace has them: what the device asks of the host, and is told.

An end is what a virtio device was given besides its RAM: a disk, a network, a function that takes
the console's output. Each call of one is a record with its arguments and what came of it. Objects
that a call returns, as a socket, are ends in turn, named after the record's number; functions that
a device hands over are called back by inputs.

`encode_arguments` is the form of arguments in a record; a replay makes the same to compare.
"""

from __future__ import annotations

from inspect import signature

from vmm.devices.device import Device
from vmm.trace.values import class_path, decode, encode, find_class, is_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    Function = Callable[..., Any]

    class Host(Protocol):
        """Who carries out what is asked of ends, and takes it down, or knows it from a trace."""

        def call(
            self,
            end: str,
            method: str,
            function: Function,
            *arguments: Any,
            **options: Any,
        ) -> Any: ...

        def look(self, end: str, attribute: str, value: Any) -> Any: ...


class End:
    """An object of the host as the device sees it.

    Attributes:
        name: the device's name for it; ``#N`` for what record N returned or brought.
        target: the object itself.
    """

    def __init__(self, host: Host, name: str, target: object) -> None:
        self.name = name
        self.target = target
        self._host = host

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self.target, attribute)
        if callable(value):
            return function_end(self._host, self.name, attribute, value)
        return self._host.look(self.name, attribute, value)


def function_end(host: Host, name: str, method: str, function: Function) -> Function:
    """Return ``function`` as the device sees it: a method of end ``name``, or with "" itself."""

    def call(*arguments: Any, **options: Any) -> Any:
        return host.call(name, method, function, *arguments, **options)

    return call


def put_between(host: Host, name: str, option: Any) -> Any:
    """Return what a device is to be given in place of its option ``name``, to get at its ends."""
    if _is_value(option):
        return option
    if isinstance(option, (list, tuple)):
        return [put_between(host, f"{name}[{at}]", item) for at, item in enumerate(option)]
    if isinstance(option, Device):
        for part_name, part_option in _options(option):
            setattr(option, part_name, put_between(host, f"{name}.{part_name}", part_option))
        return option
    return function_end(host, name, "", option) if is_function(option) else End(host, name, option)


def describe_option(option: Any) -> object:
    """Return what a record says of an option, so that `restore_option` can make another."""
    if _is_value(option):
        return {"value": encode(option)}
    if isinstance(option, (list, tuple)):
        return {"list": [describe_option(item) for item in option]}
    if isinstance(option, Device):
        options = {name: describe_option(item) for name, item in _options(option)}
        return {"class": class_path(option), "options": options}
    if is_function(option):
        return {"function": None}
    names = [name for name in dir(option) if not name.startswith("_")]
    values = {name: getattr(option, name) for name in names}
    return {"object": {n: encode(v) for n, v in values.items() if is_plain(v)}}


def restore_option(host: Host, name: str, described: Any) -> Any:
    """Return an option as it was described, whose ends are ``host`` alone."""
    match described:
        case {"value": value}:
            return decode(value)
        case {"list": items}:
            return [restore_option(host, f"{name}[{at}]", item) for at, item in enumerate(items)]
        case {"class": path, "options": options}:
            restored = {n: restore_option(host, f"{name}.{n}", o) for n, o in options.items()}
            return find_class(path)(**restored)
        case {"object": attributes}:
            return End(host, name, Absent({n: decode(v) for n, v in attributes.items()}))
    return function_end(host, name, "", absent)


def absent(*_: object, **__: object) -> None:
    """A function of the host that is not there: whoever calls it asks the trace."""


class Absent:
    """An object of the host that is not there: it has the plain attributes that it had."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)

    def __getattr__(self, method: str) -> Function:
        if method.startswith("__"):
            raise AttributeError(method)
        return absent


def _is_value(option: Any) -> bool:
    return is_plain(option) or isinstance(option, bytes)


def _options(part: Device) -> list[tuple[str, Any]]:
    """Return what ``part``, a device that is an option itself, was made of."""
    return [(name, getattr(part, name)) for name in signature(type(part)).parameters]


def is_function(item: object) -> bool:
    """Tell whether ``item`` is to be called rather than to be asked for its methods."""
    return isinstance(item, type) or (callable(item) and hasattr(item, "__name__"))


def encode_arguments(
    number: int, arguments: Iterable[Any], options: dict[str, Any]
) -> tuple[list[object], dict[str, object]]:
    """Return positional and named arguments as record ``number`` holds them."""
    named = {name: _encode_argument(number, item) for name, item in options.items()}
    return [_encode_argument(number, item) for item in arguments], named


def _encode_argument(number: int, item: Any) -> object:
    if isinstance(item, End):
        return {"end": item.name}
    if is_function(item):
        return {"callback": number}
    views = writable_views((item,))
    if views:
        return {"room": sum(map(len, views))}
    if isinstance(item, list) and all(isinstance(view, memoryview) for view in item):
        return encode(b"".join(item))
    return encode(item)


def writable_views(arguments: Iterable[Any]) -> list[memoryview]:
    """Return the buffers among ``arguments`` that a call may fill."""
    found: list[memoryview] = []
    for item in arguments:
        if isinstance(item, list):
            found += writable_views(item)
        elif isinstance(item, memoryview) and not item.readonly:
            found.append(item)
    return found


def content(views: list[memoryview]) -> bytes:
    """Return what is in ``views`` without the zeros at the end, where nothing was written."""
    return b"".join(views).rstrip(b"\0")
