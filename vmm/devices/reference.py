"""What a register map says to people: the names in a trace and the pages of a manual.

Imported only when asked for; nothing here is on the way of a running guest.
"""

from __future__ import annotations

from inspect import cleandoc
from sys import modules

from vmm.devices.decoder import RO, WO
from vmm.devices.virtio import device as virtio_device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm.devices.decoder import Decoder
    from vmm.devices.registers import Declaration, RegisterDevice
    from vmm.devices.virtio.device import VirtioDevice


def decode(decoder: Decoder, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
    """Name the register at ``offset`` and the contents of its fields in ``value``."""
    found = decoder.find(offset, write)
    if found is None:
        return f"+{offset:#x}", {}
    register, index, start = found
    name = f"{register.name}[{index}]" if register.array else register.name
    if offset != start:
        return f"{name}+{offset - start}", {}
    hidden = RO if write else WO
    fields = [field for field in register.fields if field.access != hidden]
    return name, {field.name: field.of(value) for field in fields}


def describe(device: type[RegisterDevice]) -> str:
    """Return the reference page of ``device``, in Markdown: its purpose, registers and fields."""
    registers = sorted(device.registers.values(), key=lambda r: (r.bank, r.offset))
    lines = [f"# {device.__name__}", "", cleandoc(device.__doc__ or ""), "", "## Registers", ""]
    lines += ["| offset | name | bits | access | reset | meaning |", "|---|---|---|---|---|---|"]
    lines += [_row(register) for register in registers]
    for register in registers:
        if register.fields:
            lines += ["", *_section(register)]
    return "\n".join(lines) + "\n"


def describe_virtio(device: type[VirtioDevice]) -> str:
    """Return the reference page of a kind of virtio device: its purpose, queues and features."""
    lines = [f"# {device.__name__}", "", cleandoc(device.__doc__ or ""), ""]
    lines += [f"Virtio device {device.DEVICE_ID}, behind the registers of `VirtioMmio`.", ""]
    lines += ["## Queues", "", "| number | greatest size |", "|---|---|"]
    lines += [f"| {number} | {size} |" for number, size in enumerate(device.QUEUE_SIZES)]
    lines += ["", "## Features", "", "| bit | name |", "|---|---|"]
    features = {**_features(device.__module__), **_features(virtio_device.__name__)}
    lines += [f"| {bit} | {name} |" for bit, name in sorted(features.items())]
    return "\n".join(lines) + "\n"


def _features(module: str) -> dict[int, str]:
    """Return the names of the feature bits that ``module`` defines."""
    names = [name for name in vars(modules[module]) if name.startswith("F_")]
    return {
        getattr(modules[module], name).bit_length() - 1: name.removeprefix("F_") for name in names
    }


def _row(register: Declaration) -> str:
    cells = (
        _place(register),
        _name(register),
        register.width,
        register.access,
        f"{register.reset:#x}",
        register.meaning,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _section(register: Declaration) -> list[str]:
    lines = [f"### {_name(register)}: {register.meaning}", ""]
    lines += ["| bits | name | access | meaning |", "|---|---|---|---|"]
    for field in sorted(register.fields, key=lambda field: -field.high):
        where = str(field.low) if field.high == field.low else f"{field.high}:{field.low}"
        lines.append(f"| {where} | {field.name} | {field.access} | {field.meaning} |")
    return lines


def _name(register: Declaration) -> str:
    return f"{register.name}[0..{register.count - 1}]" if register.array else register.name


def _place(register: Declaration) -> str:
    place = f"{register.offset:#x}"
    if register.array:
        place += f" + {register.span:#x} n"
    return f"{register.bank}: {place}" if register.bank else place
