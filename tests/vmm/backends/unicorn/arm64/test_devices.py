"""Device accesses of arm64 guests, and RAM that host and guest share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.vmm.backends.unicorn.arm64.guest import CODE, DEVICE, RAM_BASE, RAM_SIZE, Guest
from vmm.backends.exits import Interrupted, Shutdown
from vmm.memory import Gpa, GuestMemory

Boot = Callable[[str], Guest]

PATTERN = 0x8877_6655_4433_2211


def answer(address: int, size: int) -> int:
    """Read little-endian bytes 0x11, 0x22, … from addresses that end in 0, 1, …."""
    return PATTERN >> 8 * (address & 7) & (1 << 8 * size) - 1


@pytest.mark.parametrize(
    "base", [0x900_0000, RAM_BASE + RAM_SIZE, DEVICE, 1 << 40, (1 << 44) - 0x1000], ids=hex
)
def test_reads_and_writes_of_each_size(arm64_guest: Boot, core: str, base: int) -> None:
    guest = arm64_guest(
        f"""
        load x9, {base:#x}
        ldrb w1, [x9, #3]
        ldrh w2, [x9, #2]
        ldr w3, [x9, #4]
        ldr x4, [x9, #0]
        ldrsb x5, [x9, #7]
        ldrsh w6, [x9, #6]
        strb w1, [x9, #11]
        strh w2, [x9, #10]
        str w3, [x9, #12]
        str x4, [x9, #8]
        power_off
        """
    )
    guest.devices.on_read = answer
    assert guest.run() == Shutdown()
    assert guest.register("x1") == 0x44
    assert guest.register("x2") == 0x4433
    assert guest.register("x3") == 0x8877_6655
    assert guest.register("x4") == PATTERN
    assert guest.register("x5") == 0xFFFF_FFFF_FFFF_FF88
    assert guest.register("x6") == 0xFFFF_8877
    wide = [("read", base, 8, PATTERN)]
    written = [("write", base + 8, 8, PATTERN)]
    if core == "public":
        low, high = PATTERN & 0xFFFF_FFFF, PATTERN >> 32
        wide = [("read", base, 4, low), ("read", base + 4, 4, high)]
        written = [("write", base + 8, 4, low), ("write", base + 12, 4, high)]
    assert guest.devices.accesses == [
        ("read", base + 3, 1, 0x44),
        ("read", base + 2, 2, 0x4433),
        ("read", base + 4, 4, 0x8877_6655),
        *wide,
        ("read", base + 7, 1, 0x88),
        ("read", base + 6, 2, 0x8877),
        ("write", base + 11, 1, 0x44),
        ("write", base + 10, 2, 0x4433),
        ("write", base + 12, 4, 0x8877_6655),
        *written,
    ]


def test_pairs_and_unaligned_accesses_come_in_aligned_parts(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"load x9, {DEVICE:#x} \n ldp w1, w2, [x9] \n ldr w3, [x9, #2] \n power_off"
    )
    guest.devices.on_read = answer
    assert guest.run() == Shutdown()
    assert (guest.register("x1"), guest.register("x2")) == (0x4433_2211, 0x8877_6655)
    assert guest.register("x3") == 0x6655_4433
    assert all(address % size == 0 for _, address, size, _ in guest.devices.accesses)


def test_devices_behind_page_tables(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"""
        adr x0, table_low
        load x1, {(DEVICE & ~0x3FFF_FFFF) | 0x401:#x}
        str x1, [x0, #24]
        mmu_on
        load x9, {0xC000_0000 | DEVICE & 0x3FFF_FFFF:#x}
        ldr w20, [x9, #4]
        power_off
        tables
        """
    )
    guest.devices.on_read = answer
    assert guest.run() == Shutdown()
    assert guest.devices.accesses == [("read", DEVICE + 4, 4, 0x8877_6655)]
    assert guest.register("x20") == 0x8877_6655


def test_ram_is_shared_both_ways(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"load x9, {RAM_BASE:#x} \n ldr x20, [x9] \n add x20, x20, #1 \n str x20, [x9, #8] \n"
        f"load x9, {RAM_BASE + RAM_SIZE - 8:#x} \n str x20, [x9] \n power_off"
    )
    guest.memory.write_u64(RAM_BASE, 41)
    assert guest.run() == Shutdown()
    assert guest.memory.read_u64(RAM_BASE + 8) == 42
    assert guest.memory.read_u64(RAM_BASE + RAM_SIZE - 8) == 42
    assert guest.devices.accesses == []


def test_ram_in_several_regions(core: str) -> None:
    guest = Guest("load x9, 0x80000000 \n ldr x20, [x9] \n ldr x21, [x9, #-8] \n power_off")
    guest.vm.close()
    guest.memory.close()
    guest.memory = GuestMemory([(Gpa(RAM_BASE), RAM_SIZE), (Gpa(0x8000_0000), 0x1000)])
    guest.vm = type(guest.vm)(guest.vm._hypervisor, "arm64", guest.memory, guest.clock)
    guest.vcpu = guest.new_vcpu(0)
    guest.memory.write(CODE, guest.program.code)
    guest.memory.write_u64(0x8000_0000, 77)
    guest.devices.on_read = answer
    assert guest.run() == Shutdown()
    assert guest.register("x20") == 77
    assert guest.register("x21") == PATTERN
    guest.close()


class HandlerError(Exception):
    pass


@pytest.mark.parametrize("instruction", ["ldr x1, [x9]", "str x1, [x9]"])
def test_an_exception_in_a_handler_comes_out_of_run(arm64_guest: Boot, instruction: str) -> None:
    guest = arm64_guest(f"load x9, {DEVICE:#x} \n 1: {instruction} \n b 1b")

    def fail(*_: int) -> int:
        raise HandlerError

    guest.devices.on_read = fail
    guest.devices.on_write = fail  # type: ignore[assignment]
    with pytest.raises(HandlerError):
        guest.run()
    assert len(guest.devices.accesses) <= 2
    # The machine is still in order.
    guest.devices.on_read = lambda *_: 0
    guest.devices.on_write = lambda *_: None
    assert guest.run(timeout=0.05) == Interrupted()
    assert len(guest.devices.accesses) > 2


def test_an_exception_in_a_register_handler_comes_out_of_run(arm64_guest: Boot) -> None:
    guest = arm64_guest("1: mrs x1, s3_0_c12_c12_0 \n b 1b")

    class Handler:
        def encodings(self) -> tuple[tuple[int, int, int, int, int], ...]:
            return ((3, 0, 12, 12, 0),)

        def read_register(self, encoding: tuple[int, int, int, int, int]) -> int:
            raise HandlerError

        def write_register(self, encoding: tuple[int, int, int, int, int], value: int) -> None: ...

    guest.vcpu.attach_system_registers(Handler())
    for _ in range(2):
        with pytest.raises(HandlerError):
            guest.run()


def test_keyboard_interrupt_in_a_handler_comes_out_of_run(arm64_guest: Boot) -> None:
    guest = arm64_guest(f"load x9, {DEVICE:#x} \n 1: ldr x1, [x9] \n b 1b")

    def interrupt(address: int, size: int) -> int:
        raise KeyboardInterrupt

    guest.devices.on_read = interrupt
    with pytest.raises(KeyboardInterrupt):
        guest.vcpu.run()


def test_code_written_by_the_host_is_seen_after_invalidation(arm64_guest: Boot) -> None:
    guest = arm64_guest(
        f"""
        load x9, {DEVICE:#x}
        bl patched
        mov x20, x0
        str xzr, [x9]       /* the host changes the function here */
        bl patched
        power_off_now: mov x21, x0
        power_off
    patched:
        mov x0, #1
        ret
        """
    )

    def patch(*_: int) -> None:
        guest.memory.write_u32(guest.address("patched"), 0xD280_0040)  # mov x0, #2
        guest.vm.invalidate_code(guest.address("patched"), 4)

    guest.devices.on_write = patch
    assert guest.run() == Shutdown()
    assert (guest.register("x20"), guest.register("x21")) == (1, 2)


def test_a_kick_stops_a_loop_soon(arm64_guest: Boot) -> None:
    guest = arm64_guest("b .")
    runner = threading.Thread(target=guest.vcpu.run)
    runner.start()
    time.sleep(0.02)
    start = time.monotonic()
    guest.vcpu.kick()
    runner.join(5)
    assert not runner.is_alive()
    assert time.monotonic() - start < 1


def test_a_kick_before_the_run_is_not_lost(arm64_guest: Boot) -> None:
    guest = arm64_guest("b .")
    guest.vcpu.kick()
    guest.vcpu.kick()
    assert guest.vcpu.run() == Interrupted()
    assert guest.run(timeout=0.02) == Interrupted()


def test_no_kick_is_lost_whenever_it_comes(arm64_guest: Boot) -> None:
    guest = arm64_guest("b .")
    for _ in range(300):
        runner = threading.Thread(target=guest.vcpu.run)
        runner.start()
        guest.vcpu.kick()
        runner.join(10)
        assert not runner.is_alive()


def test_kicking_from_a_thread_that_holds_the_bus_does_not_deadlock(arm64_guest: Boot) -> None:
    guest = arm64_guest(f"load x9, {DEVICE:#x} \n 1: ldr x1, [x9] \n b 1b")

    def locked(address: int, size: int) -> int:
        with guest.devices.lock:
            return 0

    guest.devices.on_read = locked
    for _ in range(100):
        runner = threading.Thread(target=guest.vcpu.run)
        with guest.devices.lock:
            runner.start()
            guest.vcpu.kick()
        runner.join(10)
        assert not runner.is_alive()
