"""Where a device's wires are, whoever it is that follows them: a tap, or a replay."""

from __future__ import annotations

from vmm.devices.device import Device, OutputPin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def parts_of(device: Device, path: str = "") -> Iterator[tuple[str, Device]]:
    """Yield ``device`` and all its parts, with where in the whole one each is: names with dots."""
    yield path, device
    for name, part in device.parts():
        yield from parts_of(part, join(path, name))


def pins_of(device: Device) -> Iterator[tuple[str, OutputPin]]:
    """Yield the interrupt lines of ``device`` itself by name."""
    for attribute, value in vars(device).items():
        if isinstance(value, OutputPin):
            yield attribute.lstrip("_"), value
        elif isinstance(value, (tuple, list)):
            for at, item in enumerate(value):
                if isinstance(item, OutputPin):
                    yield f"{attribute}[{at}]", item


def join(path: str, name: str) -> str:
    """Return the name of what is called ``name`` in the part at ``path``."""
    return f"{path}.{name}" if path else name


def place_of(whole: Device, region: object) -> list[str | int]:
    """Return by which attribute, and which of its elements, ``whole`` has ``region``.

    Empty if that is the device itself.
    """
    for attribute, value in vars(whole).items():
        if value is region:
            return [attribute]
        if isinstance(value, (tuple, list)):
            for at, item in enumerate(value):
                if item is region:
                    return [attribute, at]
    return []


def region_at(whole: Any, place: list[str | int]) -> Any:
    """Return what `place_of` has found."""
    if not place:
        return whole
    attribute, *index = place
    found = getattr(whole, str(attribute))
    return found[index[0]] if index else found
