"""`vmm devices` and `vmm device`: reference pages, derived from the devices' register maps."""

from __future__ import annotations

import importlib
import pkgutil
from inspect import cleandoc

import click

import vmm.devices
from vmm.devices.reference import describe
from vmm.devices.registers import RegisterDevice


def register_maps() -> dict[str, type[RegisterDevice]]:
    """Return every device of the package that has registers, by the name of its class.

    Where several modules have a class of one name, the module's name goes before it.
    """
    classes = [
        member
        for module in pkgutil.walk_packages(vmm.devices.__path__, "vmm.devices.")
        for member in vars(importlib.import_module(module.name)).values()
        if _has_registers(member) and member.__module__ == module.name
    ]
    names = [member.__name__ for member in classes]
    found = {
        member.__name__ if names.count(member.__name__) == 1 else _long_name(member): member
        for member in classes
    }
    return dict(sorted(found.items(), key=lambda entry: entry[0].lower()))


def _has_registers(member: object) -> bool:
    return (
        isinstance(member, type) and issubclass(member, RegisterDevice) and bool(member.registers)
    )


def _long_name(device: type[RegisterDevice]) -> str:
    return f"{device.__module__.rpartition('.')[2]}.{device.__name__}"


@click.command()
def devices() -> None:
    """List the devices that have registers, with what each is."""
    maps = register_maps()
    width = max(len(name) for name in maps)
    for name, device in maps.items():
        summary = cleandoc(device.__doc__ or "").partition("\n")[0]
        click.echo(f"{name:{width}}  {summary}")


@click.command()
@click.argument("name")
def device(name: str) -> None:
    """Print the reference page of the device NAME: its registers and their fields.

    NAME is one of 'vmm devices', or MODULE:CLASS of your own.
    """
    if ":" in name:
        from vmm.machine.plugin import load_class

        click.echo(describe(load_class(name)), nl=False)
        return
    for known, declared in register_maps().items():
        if known.lower() == name.lower():
            click.echo(describe(declared), nl=False)
            return
    raise click.UsageError(f"no device is called {name!r}; 'vmm devices' lists them")
