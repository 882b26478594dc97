"""Whether an offset table of `layout` describes the engine that is installed.

Only for builds that the table does not name. A wrong table can crash whoever follows its pointers,
so the test runs in a process of its own, once for each library file; the answer is kept in
``$XDG_CACHE_HOME/calypso``.
"""

from __future__ import annotations

import mmap
import os
import sys
from zlib import crc32

from vmm.backends.unicorn.arm64.registers import Registers
from vmm.backends.unicorn.coherence import LIBRARY_SPAN, REDIRECTED
from vmm.backends.unicorn.engine import (
    ARCH_ARM64,
    ARCH_X86,
    HOOK_INTR,
    MODE_64,
    MODE_LITTLE_ENDIAN,
    Engine,
)
from vmm.backends.unicorn.layout import (
    ARM_PC,
    ARM_X0,
    LAYOUTS,
    X86_EIP,
    X86_FEATURES,
    X86_REGS,
    X86_VERSION,
)
from vmm.backends.unicorn.shared_object import DT_JMPREL, DT_PLTRELSZ, SharedObject
from vmm.backends.unicorn.x86.cpuid import MODEL
from vmm.host.cache import cache_path, publish
from vmm.memory import Gpa, GuestMemory
from vmm.value import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.unicorn.internals import EngineState, Internals
    from vmm.backends.unicorn.layout import Layout
    from vmm.backends.unicorn.library import CData, Library

# UC_ARM64_REG_*, UC_CPU_ARM64_MAX
_X0: Final = 199
_PC: Final = 260
_ARM64_MAX: Final = 3

# UC_X86_REG_*
_RAX: Final = 35
_RIP: Final = 41

_RAM: Final = 0x4000_0000
_RAM_SIZE: Final = 0x1_0000
_DEVICE: Final = 0x9000_0000

# Page tables of 1 GiB blocks, and addresses of 39 bits: RAM at _RAM, and at _ALIAS behind that.
_TABLE: Final = _RAM + 0x1000
_TCR: Final = 25 | 1 << 23 | 2 << 32
_BLOCK: Final = 0x701
_NOT_EXECUTABLE: Final = 3 << 53
_ALIAS: Final = 0x8000_0000

_MOV_X0_1: Final = 0xD280_0020
_MOV_X0_2: Final = 0xD280_0040
_MOV_X20_X0: Final = 0xAA00_03F4
_MOV_X21_X0: Final = 0xAA00_03F5
_STR_W3_X9: Final = 0xB900_0123
_STR_W3_X9_64: Final = 0xB900_4123
_BLR_X10: Final = 0xD63F_0140
_RET: Final = 0xD65F_03C0
_WFI: Final = 0xD503_207F
_SVC: Final = 0xD400_0001
_LDR_X1_X0: Final = 0xF940_0001
_LDRB_W3_X0: Final = 0x3940_0003
_ADD_X2_X2_1: Final = 0x9100_0442
_BRANCH_TO_SELF: Final = 0x1400_0000

# CPU_INTERRUPT_EXITTB, which the engine sets when it delivers an exception
_LEAVE_BLOCK: Final = 4

# EAX of the model's leaf 1.
_VERSION: Final = 0x0005_06E3
# What every x86 processor of 64 bits has in leaf 1, EDX: FPU, TSC, MSR, PAE.
_FEATURES: Final = 0x71

_TIMEOUT: Final = 10


class _Contradiction(Exception):
    """The engine is not as the table says."""


def adapted(internals: Internals) -> Internals | None:
    """Return ``internals`` for the installed build, None if its table does not fit.

    The test runs once for each library file; the answer is remembered.
    """
    library = internals.library
    answer = _cache_file(library.path, internals.layout)
    offsets = _recall(answer)
    if offsets is None:
        offsets = _examine(library.path, internals.layout)
        if answer is not None:
            publish(answer, " ".join(f"{offset:x}" for offset in offsets).encode())
    if not offsets:
        return None
    layout = _with_offsets(internals.layout, offsets)
    return type(internals)(library, layout, internals.shims)


def _examine(path: str, layout: Layout) -> tuple[int, ...]:
    """Return the build's `global_offsets`; none if ``layout`` with these does not fit it."""
    try:
        offsets = global_offsets(path)
    except (OSError, ValueError, KeyError):
        return ()
    fits = run_in_child(sys.executable, _with_offsets(layout, offsets)) == 0
    return offsets if fits else ()


def _with_offsets(layout: Layout, offsets: tuple[int, ...]) -> Layout:
    half = len(offsets) // 2
    return replace(layout, builds=(), got_aarch64=offsets[:half], got_x86_64=offsets[half:])


def _recall(answer: str | None) -> tuple[int, ...] | None:
    """Return what the file ``answer`` says, None if there is no such file."""
    if answer is None:
        return None
    try:
        with open(answer) as file:
            return tuple(int(word, 16) for word in file.read().split())
    except (OSError, ValueError):
        return None


def run_in_child(python: str, layout: Layout) -> int:
    """Run `self_test` of ``layout`` in a new process; return its exit status, 0 if it fits."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from vmm.backends.unicorn.layout import Layout\n"
        "from vmm.backends.unicorn.selftest import main\n"
        f"main({layout!r})"
    )
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    try:
        child = os.posix_spawn(python, [python, "-c", code], os.environ, file_actions=null)
    except OSError:
        return 1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(layout: Layout | None = None) -> None:
    """Test the host's table, or the one given; exit with status 0 if it fits."""
    import faulthandler

    from vmm.backends.unicorn.library import open_library

    faulthandler.dump_traceback_later(_TIMEOUT, exit=True)
    problem = self_test(open_library(), layout or LAYOUTS[os.uname().machine])
    sys.exit(problem)


def self_test(library: Library, layout: Layout) -> str | None:
    """Return how the engine contradicts ``layout``, None if it does not.

    A wrong table can also crash the process.
    """
    from vmm.backends.unicorn.internals import Internals
    from vmm.backends.unicorn.shim import load_shims

    shims = load_shims(library)
    if shims is None:
        return "this host does not let us run native code"
    internals = Internals(library, layout, shims)
    try:
        _test_initialisation(internals)
        _test_arm64(internals)
        _test_arm64_changed(internals)
        _test_coherence(internals)
        _test_x86(internals)
    except _Contradiction as contradiction:
        return str(contradiction)
    return None


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise _Contradiction(what)


def _test_initialisation(internals: Internals) -> None:
    """Find the byte that says whether an engine is initialised, and its neighbour."""
    library, layout = internals.library, internals.layout
    # Four flags follow the 64 bits; the last two are these.
    _expect(layout.uc_next_pc + 10 == layout.uc_no_exit_request, "uc_next_pc")
    _expect(layout.uc_no_exit_request + 1 == layout.uc_init_done, "uc_no_exit_request")
    handle = library.ffi.new("uc_engine **")
    library.check(
        library.api.uc_open(ARCH_ARM64, MODE_LITTLE_ENDIAN, handle), "cannot open an engine"
    )
    address = int(library.ffi.cast("uintptr_t", handle[0]))
    flag = library.ffi.cast("uint8_t *", address + layout.uc_init_done)
    states = [flag[0]]
    library.api.uc_reg_read(handle[0], _PC, library.ffi.new("uint64_t *"))
    states.append(flag[0])
    library.api.uc_close(handle[0])
    _expect(states == [0, 1], "uc_init_done")


def _common(internals: Internals, engine: Engine, size: int) -> EngineState:
    """Check the pointers between ``uc_struct``, ``CPUState`` and what they share."""
    state = internals.state(engine.handle)
    layout = internals.layout
    own = int(engine.ffi.cast("uintptr_t", engine.handle))
    _expect(state.pointer("uintptr_t *", state.cpu + layout.cpu_uc)[0] == own, "cpu_uc")
    _expect(state.cpu < state.env < state.cpu + size, "cpu_env")
    counter = state.pointer("uintptr_t *", state.cpu + layout.cpu_icount)[0]
    _expect(state.cpu < counter < state.env, "cpu_icount")
    _expect(state.pointer("uint32_t *", counter)[0] == 0, "cpu_icount")
    _expect(state.halted[0] == 0, "cpu_halted")
    _expect(state.interrupt_request[0] == 0, "cpu_interrupt_request")
    return state


def _test_arm64(internals: Internals) -> None:
    """Watch an engine that is used through its public interface."""
    engine = Engine(internals.library, None, ARCH_ARM64, MODE_LITTLE_ENDIAN, _ARM64_MAX)
    with _ram() as memory:
        engine.map_ram(memory)
        engine.map_devices(memory, lambda _: lambda *_: 0, lambda _: lambda *_: None)
        state = _common(internals, engine, 1 << 20)
        _test_regions(internals, state)
        _test_registers(internals, engine, state)
        memory.write_u32(_RAM, _SVC)
        memory.write_u32(_RAM + 4, _BRANCH_TO_SELF)
        memory.write_u32(_RAM + 8, _WFI)
        _test_exception(internals, engine, state)
        engine.start(_RAM + 8)
        _expect(state.halted[0] == 1, "cpu_halted")
        engine.close()


def _test_regions(internals: Internals, state: EngineState) -> None:
    """Check the list of mapped ranges: devices, RAM, devices."""
    layout, own = internals.layout, state.engine
    count = state.pointer("uint32_t *", own + layout.uc_mapped_block_count)[0]
    _expect(count == 3, "uc_mapped_block_count")
    blocks = state.pointer("uintptr_t **", own + layout.uc_mapped_blocks)[0]
    addresses = [
        state.pointer("uint64_t *", blocks[n] + layout.region_address)[0] for n in range(3)
    ]
    _expect(addresses == [0, _RAM, _RAM + _RAM_SIZE], "region_address")
    operations = [
        state.pointer("uintptr_t *", blocks[n] + layout.region_operations)[0] for n in range(3)
    ]
    reads = [state.pointer("uintptr_t *", table)[0] for table in operations]
    _expect(reads[0] == reads[2] != reads[1], "region_operations")


def _test_registers(internals: Internals, engine: Engine, state: EngineState) -> None:
    for number in range(29):
        engine.write_register(_X0 + number, 0x1234_5678_0000 + number)
    engine.write_register(_PC, 0x8765_4321_0000)
    registers = state.field("uint64_t *", ARM_X0)
    _expect(all(registers[n] == 0x1234_5678_0000 + n for n in range(29)), "ARM_X0")
    _expect(state.field("uint64_t *", ARM_PC)[0] == 0x8765_4321_0000, "ARM_PC")
    # GHashTable: size, modulus, mask, nodes in use
    table = state.pointer("uint32_t **", state.cpu + internals.layout.arm_registers)[0]
    size, mask, used = table[0], table[2], table[3]
    _expect(mask == size - 1 and size & mask == 0 and 100 < used <= size, "arm_registers")
    lists = state.pointer("uintptr_t **", state.cpu + internals.layout.arm_level_hooks)
    base = internals.library.base_address()
    for number in range(2):
        _expect(int(state.pointer("uintptr_t", lists[number])) != 0, "arm_level_hooks")
        _expect(base < lists[number][0] < base + LIBRARY_SPAN, "arm_level_hooks")


def _test_exception(internals: Internals, engine: Engine, state: EngineState) -> None:
    """Have the engine deliver an exception, and stop in the hook."""
    seen = []
    deliver = engine.api.arm_cpu_do_interrupt_aarch64

    def on_exception(_engine: CData, _number: int, _user: CData) -> None:
        deliver(engine.ffi.cast("void *", state.cpu))
        seen.append(state.interrupt_request[0])
        engine.stop_in_exception_hook()
        seen.append(state.block_exit[0])

    engine.add_hook(HOOK_INTR, engine.callback("uc_cb_hookintr_t", on_exception))
    engine.start(_RAM)
    _expect(seen[:1] == [_LEAVE_BLOCK], "cpu_interrupt_request")
    _expect(seen[1:] == [-1], "cpu_icount")


def _test_arm64_changed(internals: Internals) -> None:
    """Change what the backend changes, now that the pointers are right, and see it work."""
    _expect(internals.layout.operations_largest_access % 4 == 0, "operations_largest_access")
    engine = Engine(internals.library, internals, ARCH_ARM64, MODE_LITTLE_ENDIAN, _ARM64_MAX)
    sizes = []

    def read(_engine: CData, _offset: int, size: int, _user: CData) -> int:
        sizes.append(size)
        engine.stop()
        return 0

    with _ram() as memory:
        engine.map_ram(memory)
        engine.map_devices(memory, lambda _: read, lambda _: lambda *_: None)
        program = (_LDR_X1_X0, _LDRB_W3_X0, _ADD_X2_X2_1, _BRANCH_TO_SELF)
        for index, word in enumerate(program):
            memory.write_u32(_RAM + 4 * index, word)
        engine.write_register(_X0, _DEVICE)
        engine.start(_RAM)
        added = engine.read_register(_X0 + 2)
        engine.close()
    _expect(sizes == [8, 1], "operations_largest_access")
    _expect(added == 1, "uc_no_exit_request")


def _test_coherence(internals: Internals) -> None:
    """Change code through a mapping that is not executable; see `coherence`."""
    engine = Engine(internals.library, internals, ARCH_ARM64, MODE_LITTLE_ENDIAN, _ARM64_MAX)
    _expect(engine.state is not None, "got_aarch64")
    registers = Registers(engine)
    registers.reset(0)
    with _ram() as memory:
        engine.map_ram(memory)
        memory.write_u64(_TABLE + 8, _RAM | _BLOCK)
        memory.write_u64(_TABLE + 24, _RAM | _BLOCK | _NOT_EXECUTABLE)
        function = _RAM + 0x100
        for index, word in enumerate((_MOV_X0_1, _RET)):
            memory.write_u32(function + 4 * index, word)
        # Writes beside and into the function; the first exception of any kind ends the run.
        program = (
            _BLR_X10,
            _MOV_X20_X0,
            _STR_W3_X9_64,
            _STR_W3_X9,
            _BLR_X10,
            _MOV_X21_X0,
            _SVC,
        )
        for index, word in enumerate(program):
            memory.write_u32(_RAM + 4 * index, word)
        registers.set(
            {
                "x3": _MOV_X0_2,
                "x9": function + _ALIAS,
                "x10": function,
                "ttbr0_el1": _TABLE,
                "tcr_el1": _TCR,
                "mair_el1": 0xFF,
                "sctlr_el1": registers.get()["sctlr_el1"] | 1,
            }
        )
        stop = engine.callback("uc_cb_hookintr_t", lambda *_: engine.stop_in_exception_hook())
        engine.add_hook(HOOK_INTR, stop)
        engine.start(_RAM)
        values = registers.get()
        engine.close()
    _expect((values["x20"], values["x21"]) == (1, 2), "got_aarch64")


def _test_x86(internals: Internals) -> None:
    engine = Engine(internals.library, None, ARCH_X86, MODE_64, MODEL)
    state = _common(internals, engine, 1 << 20)
    engine.write_register(_RAX, 0x1234_5678_0000)
    engine.write_register(_RIP, 0x8765_4321_0000)
    _expect(state.field("uint64_t *", X86_REGS)[0] == 0x1234_5678_0000, "X86_REGS")
    _expect(state.field("uint64_t *", X86_EIP)[0] == 0x8765_4321_0000, "X86_EIP")
    features = state.field("uint64_t *", X86_FEATURES)[0]
    _expect(features & _FEATURES == _FEATURES, "X86_FEATURES")
    _expect(state.field("uint32_t *", X86_VERSION)[0] == _VERSION, "X86_VERSION")
    # The function pointer has no name outside; the one behind it has.
    pointers = state.pointer("uintptr_t *", state.engine + internals.layout.uc_stop_interrupt)
    neighbour = internals.library.address_of("memory_map_io_x86_64")
    _expect(pointers[0] != 0 and pointers[1] == neighbour, "uc_stop_interrupt")
    engine.close()


def _ram() -> GuestMemory:
    return GuestMemory([(Gpa(_RAM), _RAM_SIZE)])


def _cache_file(path: str, layout: Layout) -> str | None:
    """Return where the answer is kept for this library file and this table."""
    status = os.stat(path)
    key = f"{path} {status.st_size} {status.st_mtime_ns} {layout!r}"
    return cache_path(f"unicorn-layout-{crc32(key.encode()):08x}")


def global_offsets(path: str) -> tuple[int, ...]:
    """Return `Layout.got_aarch64` and `Layout.got_x86_64` of a library file, one after the other.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a 64-bit ELF shared library.
        KeyError: if it does not call one of the functions through its table.
    """
    with open(path, "rb") as file:
        library = SharedObject(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    wanted = [f"{name}_{target}" for target in ("aarch64", "x86_64") for name in REDIRECTED]
    found: dict[str, int] = {}
    for offset, info, _ in library.relocations(DT_JMPREL, DT_PLTRELSZ):
        name = library.name(info >> 32)
        if name in wanted:
            found[name] = offset
    return tuple(found[name] for name in wanted)
