"""`vmm devices` and `vmm device`: reference pages, derived from the devices' register maps."""

from __future__ import annotations

import importlib
import pkgutil
from inspect import cleandoc

import click

import vmm.devices
from vmm.devices.reference import describe, describe_virtio
from vmm.devices.registers import RegisterDevice
from vmm.devices.virtio.device import VirtioDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _Device = TypeVar("_Device")


def register_maps() -> dict[str, type[RegisterDevice]]:
    """Return every device of the package that has registers, by the name of its class.

    Where several modules have a class of one name, the module's name goes before it.
    """
    classes = [member for member in _classes(RegisterDevice) if member.registers]
    names = [member.__name__ for member in classes]
    found = {
        member.__name__ if names.count(member.__name__) == 1 else _long_name(member): member
        for member in classes
    }
    return dict(sorted(found.items(), key=lambda entry: entry[0].lower()))


def virtio_devices() -> dict[str, type[VirtioDevice]]:
    """Return every kind of virtio device of the package, by the name of its class."""
    kinds = [kind for kind in _classes(VirtioDevice) if hasattr(kind, "DEVICE_ID")]
    return {kind.__name__: kind for kind in sorted(kinds, key=lambda kind: kind.__name__)}


def _classes(base: type[_Device]) -> list[type[_Device]]:
    """Return the classes derived from ``base`` in all modules of devices."""
    return [
        member
        for module in pkgutil.walk_packages(vmm.devices.__path__, "vmm.devices.")
        for member in vars(importlib.import_module(module.name)).values()
        if isinstance(member, type)
        and issubclass(member, base)
        and member.__module__ == module.name
    ]


def _long_name(device: type[RegisterDevice]) -> str:
    return f"{device.__module__.rpartition('.')[2]}.{device.__name__}"


@click.command()
def devices() -> None:
    """List the devices, with what each is: those with registers, and those behind virtio's."""
    maps, kinds = register_maps(), virtio_devices()
    width = max(len(name) for name in (*maps, *kinds))
    for name, device in (*maps.items(), *kinds.items()):
        summary = cleandoc(device.__doc__ or "").partition("\n")[0]
        virtio = "virtio: " if name in kinds else ""
        click.echo(f"{name:{width}}  {virtio}{summary}")


def _complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of devices that begin so, for the shell."""
    names = (*register_maps(), *virtio_devices())
    return [name for name in names if name.lower().startswith(begun.lower())]


@click.command()
@click.argument("name", shell_complete=_complete)
def device(name: str) -> None:
    """Print the reference page of the device NAME: its registers and their fields.

    NAME is one of 'vmm devices', or MODULE:CLASS of your own.
    """
    click.echo(_page(name), nl=False)


def _page(name: str) -> str:
    if ":" in name:
        from vmm.machine.plugin import load_class

        return describe(load_class(name))
    for known, declared in register_maps().items():
        if known.lower() == name.lower():
            return describe(declared)
    for known, kind in virtio_devices().items():
        if known.lower() == name.lower():
            return describe_virtio(kind)
    raise click.UsageError(f"no device is called {name!r}; 'vmm devices' lists them")
