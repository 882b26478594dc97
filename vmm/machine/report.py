"""The crash report: what state a machine stopped in, for people."""

from __future__ import annotations

from vmm.arch import X86_64
from vmm.backends.registers import DescriptorTable, Segment
from vmm.machine.outcome import KILLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import RegisterValue
    from vmm.machine.machine import Machine

_COLUMNS: Final = 4
_SYSTEM_REGISTERS: Final = {
    "x86_64": ("rflags", "cr0", "cr2", "cr3", "cr4", "efer"),
    "arm64": ("pstate", "esr_el1", "far_el1", "elr_el1", "spsr_el1", "sctlr_el1"),
}
_WORD: Final = 18  # 0x and sixteen digits


def crash_report(machine: Machine) -> str:
    """Return several lines: how it ended, where, the registers, the last bus accesses."""
    lines = [_headline(machine)]
    if machine.outcome is not None and machine.outcome.kind == KILLED:
        # The message has the program's registers; the vCPU's are those of the kernel's farewell.
        return "\n".join(lines)
    try:
        registers = machine.registers()
    except Exception as error:  # a dead vCPU must not hide what is known besides
        lines.append(f"registers cannot be read: {error}")
    else:
        lines += _place(machine, registers)
        lines += _general(registers, machine.arch)
        lines += _system(registers, machine.arch)
    lines += _accesses(machine)
    return "\n".join(lines)


def _headline(machine: Machine) -> str:
    end = machine.outcome
    if end is None:
        return "the guest has not stopped"
    if not end.message:
        return f"the guest {end.kind}"
    lines = [_name_address(machine, line) for line in end.message.rstrip().splitlines()]
    if end.kind != KILLED:
        lines[0] = f"the guest {end.kind}: {lines[0]}"
    return "\n".join(lines)


def _name_address(machine: Machine, line: str) -> str:
    """Append the symbol of a line's address of code: its first word, or after ``pc`` or ``at``."""
    words = line.replace(",", " ").split()
    for before, word in zip(["pc", *words], words, strict=False):
        if before in ("pc", "at") and word.startswith("0x"):
            try:
                symbol = machine.loaded.symbolize(int(word, 16))
            except ValueError:
                continue
            return f"{line} [{symbol}]" if symbol else line
    return line


def _place(machine: Machine, registers: dict[str, RegisterValue]) -> list[str]:
    name = "rip" if machine.arch == X86_64 else "pc"
    counter = registers[name]
    assert isinstance(counter, int)
    symbol = machine.loaded.symbolize(counter)
    return [f"{name} {counter:#018x}" + (f" {symbol}" if symbol else "")]


def _general(registers: dict[str, RegisterValue], arch: str) -> list[str]:
    skip = {"rip", "pc", *_SYSTEM_REGISTERS[arch]}
    plain = [
        (name, content)
        for name, content in registers.items()
        if isinstance(content, int) and name not in skip and not name.endswith(("_el1", "_el0"))
    ]
    return _table([entry for entry in plain if not entry[0].startswith(("cr", "efer"))])


def _system(registers: dict[str, RegisterValue], arch: str) -> list[str]:
    named = [(name, registers[name]) for name in _SYSTEM_REGISTERS[arch] if name in registers]
    lines = _table([(name, content) for name, content in named if isinstance(content, int)])
    for name in ("cs", "ss"):
        segment = registers.get(name)
        if isinstance(segment, Segment):
            lines.append(f"{name} {segment.selector:#06x} attributes {segment.attributes:#06x}")
    for name in ("gdtr", "idtr"):
        table = registers.get(name)
        if isinstance(table, DescriptorTable):
            lines.append(f"{name} {table.base:#018x} limit {table.limit:#06x}")
    return lines


def _table(entries: list[tuple[str, int]]) -> list[str]:
    rows = [entries[i : i + _COLUMNS] for i in range(0, len(entries), _COLUMNS)]
    return ["  ".join(f"{name:>9} {content:#0{_WORD}x}" for name, content in row) for row in rows]


def _accesses(machine: Machine) -> list[str]:
    recent = machine.bus.recent
    if not recent:
        return ["no device was accessed"]
    lines = ["last device accesses, oldest first:"]
    for access in recent:
        space = machine.bus.pio if access.space == "pio" else machine.bus.mmio
        mapping = space.find(access.address)
        place = f"{mapping.name}+{access.address - mapping.base:#x}" if mapping else "nothing there"
        verb = "write" if access.write else "read "
        lines.append(
            f"  {access.space:4} {verb} {access.address:#x} ({place})"
            f" {access.size} bytes {access.value:#x}"
        )
    return lines
