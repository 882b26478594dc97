"""The device tree of the arm64 board (Devicetree Specification 0.4 and Linux's bindings)."""

from __future__ import annotations

from vmm.boards import arm64_map as at
from vmm.boot.fdt import Node, flatten, reg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.boards.slots import Place

# Cells of an interrupt specifier (binding arm,gic): kind, number within its kind, flags.
SPI: Final = 0
PPI: Final = 1
LEVEL_HIGH: Final = 4
FIRST_PPI: Final = 16
FIRST_SPI: Final = 32

GIC_PHANDLE: Final = 1
CLOCK_PHANDLE: Final = 2
UART_CLOCK_HZ: Final = 24_000_000
NS16550_CLOCK_HZ: Final = 1_843_200

_MOST_KEPT: Final = 8
_kept: dict[tuple[object, ...], bytes] = {}


def build_tree(
    ram: Sequence[tuple[int, int]],
    cpus: int,
    gic_version: int,
    places: at.Places,
    command_line: str,
    initrd: tuple[int, int] | None,
    added: Sequence[Place] = (),
) -> bytes:
    """Return the flattened tree; the last ones are kept, for machines come in rows of the same.

    Args:
        ram: (base, size) of RAM.
        cpus: number of vCPUs.
        gic_version: 2 or 3.
        places: where the devices are.
        command_line: for ``/chosen``.
        initrd: its first guest-physical address and the first behind it.
        added: the devices added to the board.
    """
    where = tuple(vars(places).values())
    key = (tuple(ram), cpus, gic_version, where, command_line, initrd, tuple(added))
    tree = _kept.get(key)
    if tree is None:
        if len(_kept) == _MOST_KEPT:
            _kept.clear()
        root = _root(ram, cpus, gic_version, places, command_line, initrd, added)
        tree = _kept[key] = flatten(root)
    return tree


def _root(
    ram: Sequence[tuple[int, int]],
    cpus: int,
    gic_version: int,
    places: at.Places,
    command_line: str,
    initrd: tuple[int, int] | None,
    added: Sequence[Place],
) -> Node:
    root = Node(
        "",
        {
            "#address-cells": 2,
            "#size-cells": 2,
            "compatible": "linux,dummy-virt",
            "model": "Calypso",
            "interrupt-parent": GIC_PHANDLE,
        },
    )
    _add_chosen(root, places.serial, command_line, initrd)
    for base, size in ram:
        root.add(f"memory@{base:x}", {"device_type": "memory", "reg": reg((base, size))})
    _add_cpus(root, cpus)
    root.add("psci", {"compatible": ["arm,psci-1.0", "arm,psci-0.2"], "method": "hvc"})
    root.add("timer", _timer())
    _add_gic(root, gic_version, places, cpus)
    _add_clock(root)
    if places.firecracker:
        _add_ns16550(root, places.serial)
    else:
        _add_pl011(root, places.serial)
    _add_pl031(root, places.pl031)
    _add_hwrng(root, places.hwrng)
    for place in added:
        _add_place(root, place)
    return root


def _add_chosen(root: Node, serial: int, command_line: str, initrd: tuple[int, int] | None) -> None:
    chosen = root.add("chosen", {"stdout-path": f"/serial@{serial:x}"})
    if command_line:
        chosen.properties["bootargs"] = command_line
    if initrd is not None:
        start, end = initrd
        chosen.properties["linux,initrd-start"] = _cells64(start)
        chosen.properties["linux,initrd-end"] = _cells64(end)


def _add_cpus(root: Node, count: int) -> None:
    cpus = root.add("cpus", {"#address-cells": 1, "#size-cells": 0})
    for index in range(count):
        cpus.add(
            f"cpu@{index:x}",
            {
                "device_type": "cpu",
                "compatible": "arm,armv8",
                "reg": index,
                "enable-method": "psci",
            },
        )


def _timer() -> dict[str, str | tuple[int, ...]]:
    # Secure physical, non-secure physical, virtual, hypervisor: the binding's order.
    lines = (29, at.INTID_PHYSICAL_TIMER, at.INTID_VIRTUAL_TIMER, 26)
    cells = [cell for intid in lines for cell in (PPI, intid - FIRST_PPI, LEVEL_HIGH)]
    return {"compatible": "arm,armv8-timer", "interrupts": tuple(cells), "always-on": ()}


def _add_gic(root: Node, version: int, places: at.Places, cpus: int) -> None:
    root.add(
        f"interrupt-controller@{places.gic_distributor:x}",
        {
            "compatible": "arm,cortex-a15-gic" if version == 2 else "arm,gic-v3",
            "interrupt-controller": (),
            "#interrupt-cells": 3,
            "#address-cells": 0,
            "reg": reg(*places.gic_frames(version, cpus)),
            "phandle": GIC_PHANDLE,
        },
    )


def _add_clock(root: Node) -> None:
    root.add(
        "apb-pclk",
        {
            "compatible": "fixed-clock",
            "#clock-cells": 0,
            "clock-frequency": UART_CLOCK_HZ,
            "phandle": CLOCK_PHANDLE,
        },
    )


def _add_ns16550(root: Node, base: int) -> None:
    root.add(
        f"serial@{base:x}",
        {
            "compatible": "ns16550a",
            "reg": reg((base, at.PAGE)),
            "interrupts": (SPI, at.INTID_SERIAL - FIRST_SPI, LEVEL_HIGH),
            "clock-frequency": NS16550_CLOCK_HZ,
        },
    )


def _add_pl011(root: Node, base: int) -> None:
    root.add(
        f"serial@{base:x}",
        {
            "compatible": ["arm,pl011", "arm,primecell"],
            "reg": reg((base, at.PAGE)),
            "interrupts": (SPI, at.INTID_SERIAL - FIRST_SPI, LEVEL_HIGH),
            "clocks": (CLOCK_PHANDLE, CLOCK_PHANDLE),
            "clock-names": ["uartclk", "apb_pclk"],
        },
    )


def _add_pl031(root: Node, base: int) -> None:
    root.add(
        f"rtc@{base:x}",
        {
            "compatible": ["arm,pl031", "arm,primecell"],
            "reg": reg((base, at.PAGE)),
            "interrupts": (SPI, at.INTID_PL031 - FIRST_SPI, LEVEL_HIGH),
            "clocks": (CLOCK_PHANDLE,),
            "clock-names": "apb_pclk",
        },
    )


def _add_hwrng(root: Node, base: int) -> None:
    root.add(
        f"rng@{base:x}",
        {
            "compatible": "calypso,hwrng",
            "reg": reg((base, at.PAGE)),
            "interrupts": (SPI, at.INTID_HWRNG - FIRST_SPI, LEVEL_HIGH),
        },
    )


def _add_place(root: Node, place: Place) -> None:
    root.add(
        f"{place.name}@{place.base:x}",
        {
            "compatible": place.compatible,
            "reg": reg((place.base, place.size)),
            "interrupts": (SPI, place.irq - FIRST_SPI, LEVEL_HIGH),
            "dma-coherent": (),
        },
    )


def _cells64(number: int) -> tuple[int, int]:
    return number >> 32, number & 0xFFFF_FFFF
