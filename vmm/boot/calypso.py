"""Calypso's boot protocol: put the kernel and all it needs into RAM, and say how to start it.

The memory map is in ``memory_map.py``, what the kernel is told in ``guest/include/calypso/abi.h``.
x86_64 starts at the kernel's entry in long mode; arm64 starts with the MMU off in a few
instructions of firmware, which turn it on and branch there.
"""

from __future__ import annotations

from vmm.arch import ARM64
from vmm.backends.registers import DescriptorTable
from vmm.boot.bootinfo import NO_CONTROLLER, Bootinfo, pack_regions
from vmm.boot.layout import READ_WRITE, Layout, Region, mebibytes, round_up
from vmm.boot.memory_map import MEMORY_MAPS
from vmm.boot.pagetables import EXECUTE, READ, WRITE, Mapping
from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.images.elf import PF_R, PF_W, PF_X
from vmm.images.file import ImageFile
from vmm.images.image import CALYPSO_KERNEL, LINUX_PROGRAM
from vmm.memory import PAGE_SIZE
from vmm.value import value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vmm.arch import Arch
    from vmm.backends.api import RegisterValue
    from vmm.boot.bootinfo import Controller
    from vmm.boot.memory_map import MemoryMap
    from vmm.images.elf import Elf, Segment
    from vmm.images.image import Image
    from vmm.memory import GuestMemory

# With the NUL; twice what Linux takes on either architecture.
MAX_COMMAND_LINE: Final = 4096
# With the NULs; the boot area has several times that, and page tables need the rest.
MAX_ARGUMENTS: Final = 128 << 10
# Regions that early devices of the kernel may add to the array.
SPARE_REGIONS: Final = 32
# Free RAM that the initial tables map; the kernel's own tables then map all.
EARLY_RAM: Final = 1 << 30

_ALIGNMENT: Final = 64  # of things in the boot area: a cache line

_CR0: Final = 0x8001_0033  # PG, WP, NE, ET, MP, PE
_CR4: Final = 0x620  # OSXMMEXCPT, OSFXSR, PAE
_EFER: Final = 0xD01  # NXE, LMA, LME, SCE
_RFLAGS: Final = 0x2  # the bit that is always set; interrupts are off
_PSTATE: Final = 0x3C5  # EL1h; D, A, I and F masked

_KERNEL_NAMES: Final = {
    READ | EXECUTE: "kernel text",
    READ: "kernel rodata",
    READ | WRITE: "kernel data",
    0: "kernel guard",
}

_FIRMWARE: Final = "entry-arm64.bin"


@value
class Loaded:
    """A machine that is ready to start.

    Attributes:
        registers: the start state of vCPU 0.
        regions: what is where, as the kernel was told.
        bootinfo: what else it was told.
        place: the gpa where it was told so.
    """

    registers: dict[str, RegisterValue]
    regions: tuple[Region, ...]
    bootinfo: Bootinfo
    place: int


def load(
    memory: GuestMemory,
    arch: Arch,
    kernel: Image,
    *,
    program: Image | None = None,
    arguments: Sequence[str] = (),
    environment: Sequence[str] = (),
    initrd: str | None = None,
    command_line: str = "",
    device_tree: bytes = b"",
    device_regions: Sequence[tuple[int, int, str]] = (),
    doorbell: int = 0,
    console: int = 0,
    controller: Controller | None = None,
    counter_hz: int = 0,
    wall_clock: int = 0,
    seed: bytes = bytes(abi.SEED_LENGTH),
    stack_guard: int = 0,
    features: int = 0,
    service_length: int = 0,
    firmware: bytes | None = None,
) -> Loaded:
    """Fill ``memory``, which is new and therefore zero, and return how to start.

    Args:
        memory: guest RAM, laid out as ``memory_map.py`` says.
        arch: the machine's architecture.
        kernel: a Calypso kernel for it.
        program: what the kernel is to run.
        arguments: the program's, from argv[0].
        environment: the program's, each ``NAME=VALUE``.
        initrd: path of a cpio archive, plain or compressed by gzip, xz or zstd.
        command_line: the kernel's.
        device_tree: flattened; arm64 only.
        device_regions: (gpa, length, name) of registers that the kernel is to map.
        doorbell: I/O port (x86_64) or gpa (arm64).
        console: I/O port (x86_64) or gpa (arm64) of the early serial port, or 0.
        controller: the interrupt controller, where the kernel is to be told.
        counter_hz: frequency of the TSC or CNTVCT_EL0, 0 where unknown.
        wall_clock: CLOCK_REALTIME in ns.
        seed: 32 bytes of entropy.
        stack_guard: 64 bits of entropy.
        features: ``abi.FEATURE_*``; that of the controller is added where there is one.
        service_length: bytes for the service ring and its window, a region that stays zero.
        firmware: code that arm64 starts in; by default the one that came with the VMM.

    Raises:
        UsageError: if something does not fit, or cannot be read.
    """
    elf = _headers(kernel, arch, CALYPSO_KERNEL)
    strings = _pack_strings("arguments and environment", (*arguments, *environment), MAX_ARGUMENTS)
    line = _pack_strings("kernel command line", (command_line,), MAX_COMMAND_LINE)
    ram = _Ram(memory, MEMORY_MAPS[arch])
    _place_files(ram, elf, program, initrd)
    if service_length:
        ram.layout.place_at_top(service_length, abi.REGION_SERVICE, READ_WRITE, "service ring")
    if device_tree:
        ram.place_device_tree(device_tree)
    if arch == ARM64:
        entry = ram.place_firmware(_read_firmware() if firmware is None else firmware)

    bootinfo_gpa = ram.take(abi.BOOTINFO.size)
    generation_gpa = ram.take(abi.GENERATION.size)
    capacity = len(ram.layout.regions()) + len(device_regions) + SPARE_REGIONS
    regions_gpa = ram.take(capacity * abi.REGION.size)
    line_gpa = ram.store(line)
    strings_gpa = ram.store(strings)
    if arch == ARM64:
        registers = _start_arm64(ram, elf, entry, bootinfo_gpa, {doorbell, console})
    else:
        registers = _start_x86_64(ram, elf, bootinfo_gpa)

    regions = ram.finish(device_regions)
    if controller is None:
        controller = NO_CONTROLLER
    else:
        features |= abi.FEATURE_CONTROLLER
    bootinfo = Bootinfo(
        features=features,
        regions=regions_gpa,
        region_count=len(regions),
        region_capacity=capacity,
        command_line=line_gpa,
        command_line_length=len(line) - 1,
        device_tree=ram.map.ram if device_tree else 0,
        device_tree_length=len(device_tree),
        arguments=strings_gpa,
        arguments_length=len(strings),
        argc=len(arguments),
        envc=len(environment),
        doorbell=doorbell,
        counter_hz=counter_hz,
        wall_clock=wall_clock,
        console=console,
        seed=seed,
        generation=generation_gpa,
        stack_guard=stack_guard,
        controller=controller.kind,
        distributor=controller.distributor[0],
        distributor_length=controller.distributor[1],
        processor_frames=controller.processor_frames[0],
        processor_frames_length=controller.processor_frames[1],
    )
    memory.write(regions_gpa, pack_regions(regions))
    memory.write(bootinfo_gpa, bootinfo.pack())
    return Loaded(registers, regions, bootinfo, bootinfo_gpa)


class _Ram:
    """Guest RAM while it is being filled; the boot area grows as things are put there."""

    def __init__(self, memory: GuestMemory, memory_map: MemoryMap) -> None:
        self.memory = memory
        self.map = memory_map
        self.layout = Layout([(r.base, r.size) for r in memory.regions], memory_map.direct_map)
        if memory_map.unusable:
            self.layout.exclude(memory_map.ram, memory_map.unusable)
        self._boot_start = memory_map.boot
        self._boot_next = memory_map.boot

    def load_segment(self, file: ImageFile, segment: Segment) -> None:
        """Load one segment of the kernel to where it was linked."""
        flags = _rights(segment)
        self.layout.reserve(
            segment.physical,
            segment.memory_size,
            abi.REGION_KERNEL,
            flags,
            _KERNEL_NAMES[flags],
        )
        if segment.file_size:
            self._load(file, segment.physical, segment.file_size, segment.offset)

    def load_initrd(self, file: ImageFile) -> None:
        """Load an archive as high as it fits."""
        region = self.layout.place_at_top(file.size, abi.REGION_INITRD, abi.REGION_READ, "initrd")
        self._load(file, region.physical, file.size, 0)

    def load_program(self, file: ImageFile, kernel: Elf) -> None:
        """Load a program behind the kernel.

        A small one is then in the same 2 MiB, which have to be mapped page by page anyway.
        """
        last = kernel.loads[-1]
        region = self.layout.place_behind(
            round_up(last.physical + last.memory_size),
            file.size,
            abi.REGION_PROGRAM,
            abi.REGION_READ,
            "program",
        )
        self._load(file, region.physical, file.size, 0)

    def _load(self, file: ImageFile, gpa: int, length: int, offset: int) -> None:
        try:
            done = self.memory.load_file(file.fd, gpa, length, offset)
        except OSError as error:
            raise UsageError(f"{file.path}: {error.strerror}") from None
        if done < length:
            raise UsageError(f"{file.path}: became shorter while it was read")

    def place_device_tree(self, blob: bytes) -> None:
        """Put the device tree at the start of RAM."""
        if len(blob) > self.map.device_tree_room:
            raise UsageError(
                f"the device tree takes {len(blob)} bytes, there is room for"
                f" {self.map.device_tree_room}"
            )
        self.layout.reserve(
            self.map.ram, len(blob), abi.REGION_DEVICETREE, abi.REGION_READ, "device tree"
        )
        self.memory.write(self.map.ram, blob)

    def place_firmware(self, code: bytes) -> int:
        """Put ``code`` into a page of its own and return where.

        The kernel's tables leave that page out, so that nothing writable is executable there.
        """
        region = self.layout.reserve(
            self._boot_start, len(code), abi.REGION_BOOT, READ_WRITE, "firmware"
        )
        self.memory.write(region.physical, code)
        self._boot_start = self._boot_next = region.end
        return region.physical

    def take(self, length: int, alignment: int = _ALIGNMENT) -> int:
        """Return the gpa of ``length`` zero bytes in the boot area."""
        gpa = (self._boot_next + alignment - 1) & -alignment
        if gpa + length > self.map.boot_end:
            room = (self.map.boot_end - self._boot_start) >> 10
            raise UsageError(f"boot tables and arguments do not fit into {room} KiB")
        self._boot_next = gpa + length
        return gpa

    def take_page(self) -> int:
        """Return the gpa of a zero page in the boot area."""
        return self.take(PAGE_SIZE, PAGE_SIZE)

    def store(self, data: bytes) -> int:
        """Put ``data`` into the boot area and return where."""
        gpa = self.take(len(data))
        self.memory.write(gpa, data)
        return gpa

    def mappings(self) -> list[Mapping]:
        """Return what the initial tables map: not RAM behind the first GiB, guards, firmware."""
        early_end = self.map.ram + EARLY_RAM
        mappings = []
        for region in self.layout.regions():
            length = region.length
            if region.type == abi.REGION_FREE:
                length = min(region.end, early_end) - region.physical
            if length > 0 and region.flags and region.type != abi.REGION_BOOT:
                mappings.append(Mapping(region.virtual, region.physical, length, region.flags))
        return mappings

    def finish(self, devices: Sequence[tuple[int, int, str]]) -> tuple[Region, ...]:
        """Close the boot area and return the region list with ``devices`` in it."""
        length = self._boot_next - self._boot_start
        self.layout.reserve(self._boot_start, length, abi.REGION_BOOT, READ_WRITE, "boot")
        for gpa, size, name in devices:
            self.layout.add_device(gpa, size, name)
        return tuple(self.layout.regions())


def _headers(image: Image, arch: Arch, kind: str) -> Elf:
    """Return the headers of an image that must be of this kind and architecture."""
    elf = image.elf
    if image.kind != kind or elf is None:
        raise UsageError(image.complaint or f"{image.path}: a {image.kind}, not a {kind}")
    if elf.arch != arch:
        raise UsageError(f"{image.path}: a {kind} for {elf.arch}, the machine is {arch}")
    return elf


def _place_files(ram: _Ram, elf: Elf, program: Image | None, initrd: str | None) -> None:
    """Load kernel, initrd and program."""
    if program is not None:
        _headers(program, elf.arch, LINUX_PROGRAM)
    archive = None
    if initrd is not None:
        from vmm.images.archived import open_archive

        archive = open_archive(initrd)
    try:
        _require_ram(ram, elf, program, archive)
        for segment in elf.loads:
            ram.load_segment(elf.file, segment)
        if archive is not None:
            ram.load_initrd(archive)
        if program is not None:
            ram.load_program(program.file, elf)
    finally:
        if archive is not None:
            archive.close()


def _require_ram(ram: _Ram, elf: Elf, program: Image | None, archive: ImageFile | None) -> None:
    """Raise a `UsageError` that says how much RAM is needed, if there is less."""
    last = elf.loads[-1]
    kernel = last.physical + last.memory_size - ram.map.ram
    needs = [("kernel", kernel)]
    if program is not None:
        needs.append(("program", program.file.size))
    if archive is not None:
        needs.append(("initrd", archive.size))
    total = sum([round_up(size) for _, size in needs])
    if total <= ram.memory.size:
        return
    detail = ", ".join([f"{name} {size / (1 << 20):.1f} MiB" for name, size in needs])
    raise UsageError(
        f"{mebibytes(ram.memory.size)} MiB of RAM are too few:"
        f" needs at least {mebibytes(total)} MiB: {detail}"
    )


def _start_x86_64(ram: _Ram, elf: Elf, bootinfo: int) -> dict[str, RegisterValue]:
    from vmm.boot import gdt, pagetables_x86_64

    table = ram.map.direct_map + ram.store(gdt.gdt())
    root = pagetables_x86_64.build(ram.memory, ram.take_page, ram.mappings())
    return {
        "rip": elf.entry,
        "rdi": bootinfo,
        "rflags": _RFLAGS,
        "cr0": _CR0,
        "cr3": root,
        "cr4": _CR4,
        "efer": _EFER,
        "gdtr": DescriptorTable(table, gdt.GDT_SIZE - 1),
        "idtr": DescriptorTable(0, 0),
        **gdt.start_segments(),
    }


def _start_arm64(
    ram: _Ram, elf: Elf, firmware: int, bootinfo: int, registers: set[int]
) -> dict[str, RegisterValue]:
    """Build both halves' tables; the kernel's has the pages of ``registers`` besides."""
    from vmm.boot import pagetables_arm64

    pages = {gpa & -PAGE_SIZE for gpa in registers if gpa}
    mappings = ram.mappings()
    for page in sorted(pages):
        virtual = ram.map.direct_map + page
        mappings.append(Mapping(virtual, page, PAGE_SIZE, READ | WRITE, device=True))
    identity = [Mapping(firmware, firmware, PAGE_SIZE, READ | EXECUTE)]
    return {
        "x0": bootinfo,
        "x1": pagetables_arm64.build(ram.memory, ram.take_page, mappings),
        "x2": pagetables_arm64.build(ram.memory, ram.take_page, identity),
        "x3": elf.entry,
        "pc": firmware,
        "pstate": _PSTATE,
    }


_firmware: list[bytes] = []


def _read_firmware() -> bytes:
    if not _firmware:
        from vmm.images.bundled import firmware_path

        with open(firmware_path(_FIRMWARE), "rb", buffering=0) as file:
            _firmware.append(file.read(PAGE_SIZE))
    return _firmware[0]


def _rights(segment: Segment) -> int:
    rights = 0
    for bit, right in ((PF_R, READ), (PF_W, WRITE), (PF_X, EXECUTE)):
        if segment.flags & bit:
            rights |= right
    return rights


def _pack_strings(what: str, strings: Sequence[str], limit: int) -> bytes:
    """Return the strings back to back, each with its NUL."""
    for text in strings:
        if "\0" in text:
            raise UsageError(f"{what}: {text!r} holds a NUL character")
    # Surrogates carry bytes of the command line that were no UTF-8; they go back to what they were.
    data = b"".join([text.encode("utf-8", "surrogateescape") + b"\0" for text in strings])
    if len(data) > limit:
        raise UsageError(f"{what}: {len(data)} bytes, at most {limit} fit")
    return data
