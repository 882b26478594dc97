"""A loaded machine: RAM, tables, registers and bootinfo agree, and with what was given."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.vmm.boot.walker import Span, walk_arm64, walk_x86_64
from tests.vmm.images import elf_maker
from tests.vmm.images.elf_maker import DIRECT_MAP, KERNEL_BASE, Part
from vmm.backends.registers import DescriptorTable, Segment
from vmm.boot.bootinfo import Controller, unpack_bootinfo, unpack_regions
from vmm.boot.calypso import MAX_ARGUMENTS, MAX_COMMAND_LINE, SPARE_REGIONS, Loaded, load
from vmm.boot.layout import Region
from vmm.errors import UsageError
from vmm.hypercall import abi
from vmm.images.recognise import open_image
from vmm.memory import Gpa, GuestMemory

PAGE, MIB, GIB = 1 << 12, 1 << 20, 1 << 30
RAM_BASE = {"x86_64": 0, "arm64": 0x4000_0000}
BOOT_AREA = {"x86_64": (0x1000, 0x9_0000), "arm64": (0x4001_0000, 0x4008_0000)}
FIRMWARE = bytes.fromhex("00 00 00 14")  # b .
CONSOLE = {"x86_64": 0x3F8, "arm64": 0x0900_0000}
DOORBELL = {"x86_64": 0x500, "arm64": 0x0A00_0040}


def newc(size: int) -> bytes:
    """Return what begins like an archive, with ``size`` bytes."""
    return b"070701".ljust(size, b"\0")


class Maker:
    """Loads machines of one architecture; everything not given has a plain value."""

    def __init__(self, arch: str, folder: Path) -> None:
        self.arch = arch
        self.folder = folder
        self.memories: list[GuestMemory] = []
        self.write("kernel", elf_maker.kernel(arch).build())
        self.write("program", elf_maker.program(arch).build())

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def load(
        self, ram: list[tuple[int, int]] | int = 64 * MIB, program: str | None = "program", **rest
    ) -> Loaded:
        if isinstance(ram, int):
            ram = [(RAM_BASE[self.arch], ram)]
        self.memory = GuestMemory([(Gpa(base), size) for base, size in ram])
        self.memories.append(self.memory)
        arguments = {"doorbell": DOORBELL[self.arch], "console": CONSOLE[self.arch]}
        if self.arch == "arm64":
            arguments |= {"device_tree": b"a device tree", "firmware": FIRMWARE}
        with open_image(str(self.folder / "kernel")) as kernel:
            if program is None:
                return load(self.memory, self.arch, kernel, **arguments | rest)
            with open_image(str(self.folder / program)) as image:
                return load(self.memory, self.arch, kernel, program=image, **arguments | rest)

    def close(self) -> None:
        for memory in self.memories:
            memory.close()

    # ---- What the guest would see ----

    def mapped(self, loaded: Loaded) -> list[Span]:
        """All that the kernel's half of the initial tables maps."""
        if self.arch == "x86_64":
            return walk_x86_64(self.memory, loaded.registers["cr3"])
        return walk_arm64(self.memory, loaded.registers["x1"], upper=True)

    def bootinfo_gpa(self, loaded: Loaded) -> int:
        return loaded.registers["rdi" if self.arch == "x86_64" else "x0"]


@pytest.fixture
def maker(arch: str, tmp_path: Path) -> Iterator[Maker]:
    maker = Maker(arch, tmp_path)
    yield maker
    maker.close()


def by_type(loaded: Loaded, kind: int) -> list[Region]:
    return [region for region in loaded.regions if region.type == kind]


def test_kernel_segments_are_where_they_were_linked(maker: Maker) -> None:
    loaded = maker.load()
    base = KERNEL_BASE[maker.arch]
    text, rodata, data = by_type(loaded, abi.REGION_KERNEL)
    assert (text.physical, text.length, text.flags) == (base, 0x3000, 0b101)
    assert (rodata.physical, rodata.length, rodata.flags) == (base + 0x3000, 0x1000, 0b001)
    assert (data.physical, data.length, data.flags) == (base + 0x4000, 0x5000, 0b011)
    assert maker.memory.read(text.physical, 0x3000) == b"\xf4" * 0x3000
    assert maker.memory.read(rodata.physical, 10) == b"constants\0"
    assert maker.memory.read(data.physical, 0x5000) == b"variables".ljust(0x5000, b"\0")


def test_program_and_initrd_are_whole_behind_the_kernel_and_at_the_top(maker: Maker) -> None:
    archive = b"070701" + bytes(range(256)) * 33
    loaded = maker.load(initrd=maker.write("initrd", archive))
    content = (maker.folder / "program").read_bytes()
    top = RAM_BASE[maker.arch] + 64 * MIB
    (initrd,), (program,) = by_type(loaded, abi.REGION_INITRD), by_type(loaded, abi.REGION_PROGRAM)
    assert initrd.end == top
    assert program.physical == by_type(loaded, abi.REGION_KERNEL)[-1].end
    assert maker.memory.read(initrd.physical, initrd.length) == archive.ljust(3 * PAGE, b"\0")
    assert maker.memory.read(program.physical, program.length) == content.ljust(
        program.length, b"\0"
    )


def test_a_compressed_initrd_is_unpacked(maker: Maker) -> None:
    archive = b"070701" + bytes(range(256)) * 33
    for pack in (gzip.compress, lzma.compress):
        loaded = maker.load(initrd=maker.write("initrd", pack(archive)))
        (initrd,) = by_type(loaded, abi.REGION_INITRD)
        content = maker.memory.read(initrd.physical, initrd.length)
        assert content == archive.ljust(initrd.length, b"\0")
    with pytest.raises(UsageError, match="initrd: gzip: truncated"):
        maker.load(initrd=maker.write("initrd", gzip.compress(archive)[:-20]))


@pytest.mark.parametrize("size", [2 * MIB, 64 * MIB, 1 * GIB, 2 * GIB + 4 * PAGE])
def test_the_region_list_is_ascending_disjoint_and_covers_ram(maker: Maker, size: int) -> None:
    loaded = maker.load(size)
    unused = PAGE if maker.arch == "x86_64" else 0
    position = RAM_BASE[maker.arch] + unused
    for region in loaded.regions:
        assert region.physical == position
        assert region.length > 0
        assert region.length % PAGE == 0
        assert region.virtual == DIRECT_MAP[maker.arch] + region.physical
        position = region.end
    assert position == RAM_BASE[maker.arch] + size


def test_free_ram_is_zero(maker: Maker) -> None:
    loaded = maker.load(4 * MIB)
    for region in by_type(loaded, abi.REGION_FREE):
        assert maker.memory.read(region.physical, region.length).count(0) == region.length


def test_bootinfo(maker: Maker) -> None:
    seed = bytes(range(32))
    loaded = maker.load(
        arguments=["prog", "naïve", ""],
        environment=["A=1", "B=\udcff"],
        command_line="log=debug ünï",
        counter_hz=1_000_000,
        wall_clock=42,
        seed=seed,
        features=abi.FEATURE_DOORBELL | abi.FEATURE_IDLE,
    )
    info = unpack_bootinfo(maker.memory.read(maker.bootinfo_gpa(loaded), abi.BOOTINFO.size))
    assert info == loaded.bootinfo
    line = "log=debug ünï".encode()
    assert info.command_line_length == len(line)
    assert maker.memory.read(info.command_line, len(line) + 1) == line + b"\0"
    assert (info.argc, info.envc) == (3, 2)
    strings = "prog\0naïve\0\0A=1\0B=".encode() + b"\xff\0"
    assert info.arguments_length == len(strings)
    assert maker.memory.read(info.arguments, len(strings)) == strings
    assert info.doorbell == DOORBELL[maker.arch]
    assert info.console == CONSOLE[maker.arch]
    assert (info.counter_hz, info.wall_clock, info.seed) == (1_000_000, 42, seed)
    assert info.features == abi.FEATURE_DOORBELL | abi.FEATURE_IDLE
    array = maker.memory.read(info.regions, info.region_count * abi.REGION.size)
    assert tuple(unpack_regions(array)) == loaded.regions
    assert info.region_capacity >= info.region_count + SPARE_REGIONS - 2
    array_end = info.regions + info.region_capacity * abi.REGION.size
    (boot,) = [region for region in loaded.regions if region.name == "boot"]
    assert boot.physical <= info.regions
    assert array_end <= boot.end


def test_bootinfo_tells_of_a_controller(maker: Maker) -> None:
    controller = Controller(abi.CONTROLLER_GICV3, (0x800_0000, 0x1_0000), (0x80A_0000, 0x4_0000))
    info = maker.load(controller=controller, features=abi.FEATURE_IDLE).bootinfo
    assert info.features == abi.FEATURE_IDLE | abi.FEATURE_CONTROLLER
    assert info.controller == abi.CONTROLLER_GICV3
    assert (info.distributor, info.distributor_length) == controller.distributor
    assert (info.processor_frames, info.processor_frames_length) == controller.processor_frames
    without = maker.load().bootinfo
    assert without.features & abi.FEATURE_CONTROLLER == 0
    assert without.controller == abi.CONTROLLER_NONE


def test_everything_of_the_boot_area_is_in_a_boot_region(maker: Maker) -> None:
    loaded = maker.load()
    start, end = BOOT_AREA[maker.arch]
    regions = by_type(loaded, abi.REGION_BOOT)
    assert regions[0].physical == start
    assert regions[-1].end <= end
    covered = [(region.physical, region.end) for region in regions]

    def is_covered(gpa: int, length: int) -> bool:
        return any(start <= gpa and gpa + length <= end for start, end in covered)

    info = loaded.bootinfo
    things = [
        (maker.bootinfo_gpa(loaded), abi.BOOTINFO.size),
        (info.regions, info.region_capacity * abi.REGION.size),
        (info.command_line, info.command_line_length + 1),
    ]
    if maker.arch == "x86_64":
        things += [(loaded.registers["cr3"], PAGE)]
        table = loaded.registers["gdtr"]
        things += [(table.base - DIRECT_MAP["x86_64"], table.limit + 1)]
    else:
        things += [(loaded.registers[name], PAGE) for name in ("x1", "x2", "pc")]
    assert all(is_covered(*thing) for thing in things)
    things.sort()
    for (gpa, length), (following, _) in pairwise(things):
        assert gpa + length <= following


def expected_mappings(arch: str, loaded: Loaded) -> dict[int, tuple[int, bool, bool, bool]]:
    """Page -> (physical, writable, executable, device), from the rules and the region list."""
    expected = {}
    early_end = RAM_BASE[arch] + GIB
    for region in loaded.regions:
        if region.name == "firmware" or region.type == abi.REGION_DEVICE:
            continue
        end = min(region.end, early_end) if region.type == abi.REGION_FREE else region.end
        for physical in range(region.physical, end, PAGE):
            write, execute = bool(region.flags & 2), bool(region.flags & 4)
            expected[region.virtual + physical - region.physical] = (
                physical,
                write,
                execute,
                False,
            )
    if arch == "arm64":
        for register in (CONSOLE[arch], DOORBELL[arch]):
            page = register & -PAGE
            expected[DIRECT_MAP[arch] + page] = (page, True, False, True)
    return expected


def pages_of(spans: list[Span]) -> dict[int, tuple[int, bool, bool, bool]]:
    return {
        span.virtual + offset: (span.physical + offset, span.write, span.execute, span.device)
        for span in spans
        for offset in range(0, span.length, PAGE)
    }


@pytest.mark.parametrize("size", [2 * MIB, 64 * MIB, 65 * MIB + 3 * PAGE])
def test_the_initial_tables_map_the_regions_and_nothing_else(maker: Maker, size: int) -> None:
    loaded = maker.load(size, initrd=maker.write("initrd", newc(MIB // 3)))
    spans = maker.mapped(loaded)
    assert {span.user for span in spans} == {maker.arch == "x86_64"}
    assert pages_of(spans) == expected_mappings(maker.arch, loaded)


def test_ram_behind_the_first_gib_is_left_to_the_kernel(maker: Maker) -> None:
    base = RAM_BASE[maker.arch]
    hole = [(base, 3 * GIB - base), (4 * GIB, 2 * GIB)]
    loaded = maker.load(hole, initrd=maker.write("initrd", newc(PAGE)))
    (initrd,) = by_type(loaded, abi.REGION_INITRD)
    assert initrd.end == 6 * GIB
    spans = maker.mapped(loaded)
    beyond = [span for span in spans if span.physical >= base + GIB]
    assert [(span.physical, span.length, span.write) for span in beyond] == [
        (initrd.physical, initrd.length, False)
    ]


def test_no_page_is_writable_here_and_executable_there(maker: Maker) -> None:
    loaded = maker.load()
    spans = maker.mapped(loaded)
    if maker.arch == "arm64":
        spans += walk_arm64(maker.memory, loaded.registers["x2"], upper=False)
    writable = {page for span in spans if span.write for page in physical_pages(span)}
    executable = {page for span in spans if span.execute for page in physical_pages(span)}
    assert executable
    assert not writable & executable


def physical_pages(span: Span) -> range:
    return range(span.physical, span.physical + span.length, PAGE)


def test_devices_are_listed_but_not_mapped(maker: Maker) -> None:
    device = (0xFEC0_0000, PAGE, "ioapic")
    loaded = maker.load(device_regions=[device])
    (region,) = by_type(loaded, abi.REGION_DEVICE)
    assert (region.physical, region.length, region.name, region.flags) == (*device, 0b011)
    assert region.virtual == DIRECT_MAP[maker.arch] + region.physical
    assert pages_of(maker.mapped(loaded)) == expected_mappings(maker.arch, loaded)


def test_a_kernel_can_be_loaded_without_a_program(maker: Maker) -> None:
    loaded = maker.load(program=None)
    assert not by_type(loaded, abi.REGION_PROGRAM)
    assert (loaded.bootinfo.argc, loaded.bootinfo.arguments_length) == (0, 0)


# ---- Start states ----


@pytest.fixture
def x86(tmp_path: Path) -> Iterator[Maker]:
    maker = Maker("x86_64", tmp_path)
    yield maker
    maker.close()


@pytest.fixture
def arm(tmp_path: Path) -> Iterator[Maker]:
    maker = Maker("arm64", tmp_path)
    yield maker
    maker.close()


def test_x86_64_starts_in_long_mode_with_paging(x86: Maker) -> None:
    registers = x86.load().registers
    assert registers["rip"] == DIRECT_MAP["x86_64"] + KERNEL_BASE["x86_64"]
    assert registers["rflags"] == 0x2
    cr0, cr4, efer = registers["cr0"], registers["cr4"], registers["efer"]
    assert [bit for bit in range(32) if cr0 >> bit & 1] == [0, 1, 4, 5, 16, 31]
    assert [bit for bit in range(32) if cr4 >> bit & 1] == [5, 9, 10]
    assert [bit for bit in range(32) if efer >> bit & 1] == [0, 8, 10, 11]
    assert registers["idtr"] == DescriptorTable(0, 0)


def test_x86_64_segment_registers_hold_what_the_gdt_says(x86: Maker) -> None:
    registers = x86.load().registers
    table = registers["gdtr"]
    gdt = x86.memory.read(table.base - DIRECT_MAP["x86_64"], table.limit + 1)
    assert registers["cs"].selector == 0x10
    for name in ("ss", "ds", "es", "fs", "gs"):
        assert registers[name].selector == 0x18
    for name in ("cs", "ss", "ds", "es", "fs", "gs"):
        segment = registers[name]
        assert segment == descriptor(gdt, segment.selector)


@pytest.mark.parametrize(
    ("selector", "ring", "code", "long", "wide"),
    [
        pytest.param(0x10, 0, True, True, False, id="kernel-cs"),
        pytest.param(0x18, 0, False, False, True, id="kernel-ss"),
        pytest.param(0x23, 3, True, False, True, id="user32-cs"),
        pytest.param(0x2B, 3, False, False, True, id="user-ss"),
        pytest.param(0x33, 3, True, True, False, id="user-cs"),
    ],
)
def test_x86_64_gdt_is_in_linux_order(
    x86: Maker, selector: int, ring: int, code: bool, long: bool, wide: bool
) -> None:
    table = x86.load().registers["gdtr"]
    gdt = x86.memory.read(table.base - DIRECT_MAP["x86_64"], table.limit + 1)
    attributes = descriptor(gdt, selector).attributes
    assert attributes >> 7 & 1, "present"
    assert attributes >> 4 & 1, "code or data"
    assert attributes >> 5 & 3 == ring == selector & 3
    assert attributes >> 3 & 1 == code
    assert attributes >> 1 & 1, "readable code, writable data"
    assert (attributes >> 13 & 1, attributes >> 14 & 1) == (long, wide)


def descriptor(gdt: bytes, selector: int) -> Segment:
    """Decode a code or data descriptor field by field (SDM volume 3A, figure 3-8)."""
    low, high = struct.unpack_from("<II", gdt, selector & ~7)
    limit = low & 0xFFFF | high & 0xF_0000
    if high >> 23 & 1:
        limit = limit << 12 | 0xFFF
    base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
    return Segment(selector, base, limit, high >> 8 & 0xF0FF)


def test_arm64_starts_in_the_firmware_with_everything_in_registers(arm: Maker) -> None:
    registers = arm.load().registers
    entry = registers["pc"]
    assert entry % PAGE == 0
    assert arm.memory.read(entry, PAGE) == FIRMWARE.ljust(PAGE, b"\0")
    assert registers["x3"] == DIRECT_MAP["arm64"] + KERNEL_BASE["arm64"]
    assert registers["pstate"] == 0b1111_00_0101, "DAIF masked, EL1 on its own stack pointer"
    identity = walk_arm64(arm.memory, registers["x2"], upper=False)
    assert identity == [Span(entry, entry, PAGE, write=False, execute=True)]


def test_arm64_device_tree_is_at_the_start_of_ram(arm: Maker) -> None:
    blob = bytes(range(1, 255)) * 40
    loaded = arm.load(device_tree=blob)
    (region,) = by_type(loaded, abi.REGION_DEVICETREE)
    assert (region.physical, region.length, region.flags) == (0x4000_0000, 3 * PAGE, 0b001)
    assert arm.memory.read(0x4000_0000, len(blob)) == blob
    assert loaded.bootinfo.device_tree == 0x4000_0000
    assert loaded.bootinfo.device_tree_length == len(blob)


# ---- What is refused ----


def test_too_little_ram_says_how_much_is_needed(maker: Maker) -> None:
    initrd = maker.write("initrd", newc(5 * MIB))
    with pytest.raises(UsageError, match=r"4 MiB of RAM are too few: needs at least (\d+) MiB: "):
        maker.load(4 * MIB, initrd=initrd)
    kernel_end = KERNEL_BASE[maker.arch] - RAM_BASE[maker.arch] + 0x9000
    needed = -(-(kernel_end + 5 * MIB + 3 * PAGE) // MIB)
    with pytest.raises(UsageError, match=f"needs at least {needed} MiB: kernel .*initrd 5.0 MiB"):
        maker.load(4 * MIB, initrd=initrd)
    assert by_type(maker.load(needed * MIB, initrd=initrd), abi.REGION_INITRD)


def test_no_piece_of_ram_that_long(maker: Maker) -> None:
    base = RAM_BASE[maker.arch]
    with pytest.raises(UsageError, match="3 MiB of RAM in one piece for the initrd"):
        maker.load(
            [(base, 3 * MIB), (4 * GIB, 2 * MIB)], initrd=maker.write("initrd", newc(3 * MIB))
        )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(
            {"command_line": "x" * MAX_COMMAND_LINE},
            "command line: 4097 bytes",
            id="long-command-line",
        ),
        pytest.param(
            {"arguments": ["x" * 200, "y" * MAX_ARGUMENTS]}, "at most 131072", id="long-arguments"
        ),
        pytest.param({"arguments": ["a\0b"]}, "arguments.*NUL", id="nul-in-argument"),
        pytest.param({"command_line": "a\0b"}, "command line.*NUL", id="nul-in-command-line"),
        pytest.param({"initrd": "/nonexistent/x"}, "/nonexistent/x: No such file", id="no-initrd"),
        pytest.param({"initrd": "/"}, "/: an initrd must be a file", id="directory"),
        pytest.param({"initrd": "/dev/null"}, "/dev/null: an initrd must be a file", id="device"),
    ],
)
def test_bad_input(maker: Maker, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        maker.load(**arguments)
    assert "\n" not in str(caught.value)


def test_the_longest_command_line_and_arguments_fit(maker: Maker) -> None:
    loaded = maker.load(
        command_line="x" * (MAX_COMMAND_LINE - 1), arguments=["y" * (MAX_ARGUMENTS - 1)]
    )
    assert loaded.bootinfo.arguments_length == MAX_ARGUMENTS


def test_a_device_tree_beyond_its_room_is_refused(arm: Maker) -> None:
    with pytest.raises(UsageError, match="device tree takes 65537 bytes"):
        arm.load(device_tree=bytes(65537))


def test_images_of_the_wrong_kind_or_architecture_are_refused(maker: Maker) -> None:
    other = "arm64" if maker.arch == "x86_64" else "x86_64"
    maker.write("foreign", elf_maker.program(other).build())
    maker.write("text", b"just text\n")
    with pytest.raises(UsageError, match=f"for {other}, the machine is {maker.arch}"):
        maker.load(program="foreign")
    with pytest.raises(UsageError, match="a calypso-kernel, not a linux-program"):
        maker.load(program="kernel")
    with pytest.raises(UsageError, match="a text file"):
        maker.load(program="text")


def test_a_kernel_that_fills_the_boot_area_with_tables_is_refused(maker: Maker) -> None:
    kernel = elf_maker.kernel(maker.arch)
    # One page in each of very many 2 MiB blocks needs a table for each.
    base = KERNEL_BASE[maker.arch] + 4 * MIB & -2 * MIB
    for index in range(300):
        physical = base + index * 2 * MIB
        virtual = DIRECT_MAP[maker.arch] + physical
        part = Part(elf_maker.PT_LOAD, elf_maker.R, virtual, memory_size=PAGE, physical=physical)
        kernel.parts.insert(-1, part)
    maker.write("kernel", kernel.build())
    with pytest.raises(UsageError, match="boot tables and arguments do not fit"):
        maker.load(700 * MIB)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_after_open(maker.folder / "program", monkeypatch)
    with pytest.raises(UsageError, match="program: became shorter"):
        maker.load()


def shrink_after_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., int] = GuestMemory.load_file

    def load_file(self: GuestMemory, *arguments: int) -> int:
        with path.open("r+b") as file:
            file.truncate(100)
        return original(self, *arguments)

    monkeypatch.setattr(GuestMemory, "load_file", load_file)
