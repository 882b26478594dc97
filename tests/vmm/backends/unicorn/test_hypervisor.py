"""The backend's face: machines come, run and go without a trace."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.descriptors import open_descriptors
from tests.vmm.backends.unicorn.arm64.guest import Guest
from vmm.arch import ARCHITECTURES
from vmm.backends.exits import Shutdown
from vmm.backends.unicorn import open_unicorn
from vmm.backends.unicorn.engine import Engine
from vmm.backends.unicorn.internals import SWITCH
from vmm.backends.unicorn.library import EngineError
from vmm.errors import VmmError
from vmm.machine.clock import MachineClock
from vmm.memory import Gpa, GuestMemory

if TYPE_CHECKING:
    from vmm.arch import Arch


def resident() -> int:
    """Return this process's resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_its_name_and_switch(core: str) -> None:
    hypervisor = open_unicorn()
    assert hypervisor.name == "unicorn"
    assert (hypervisor.internals is None) == (os.environ.get(SWITCH) == "0")
    hypervisor.close()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_machine_without_vcpus(arch: Arch) -> None:
    guest = Guest("b .")
    vm = open_unicorn().create_vm(arch, guest.memory, guest.clock)
    assert (vm.arch, vm.local_apic, vm.in_kernel_gic) == (arch, False, False)
    assert vm.counter_hz > 0
    vm.close()
    guest.close()


def test_what_is_the_boards_business_is_refused() -> None:
    guest = Guest("b .")
    for call in (
        lambda: guest.vm.signal_msi(0xFEE0_0000, 0x30),
        lambda: guest.vm.create_gic(3, 0x800_0000, 0x80A_0000),
        lambda: guest.vm.interrupt_line(33),
        lambda: guest.vm.watch_vectors({}),
    ):
        with pytest.raises(VmmError, match="board"):
            call()
    guest.close()


def test_closing_twice_is_harmless(core: str) -> None:
    guest = Guest("power_off")
    assert guest.run() == Shutdown()
    guest.vcpu.close()
    guest.vcpu.close()
    guest.close()
    guest.close()


def test_kicking_a_closed_vcpu_is_harmless(core: str) -> None:
    guest = Guest("power_off")
    guest.close()
    guest.vcpu.kick()


def test_machines_leave_nothing_behind(core: str) -> None:
    """Neither memory nor descriptors nor mappings grow with the number of machines made."""

    def make(count: int) -> None:
        for _ in range(count):
            guest = Guest("load x9, 0x9000000 \n ldr x1, [x9] \n msr cntv_ctl_el0, x1 \n power_off")
            assert guest.run() == Shutdown()
            guest.close()
        del guest
        gc.collect()

    make(40)
    before = resident(), open_descriptors()
    maps = len(Path("/proc/self/maps").read_text().splitlines())
    make(200)
    assert resident() - before[0] < 8 << 20
    assert open_descriptors() == before[1]
    assert len(Path("/proc/self/maps").read_text().splitlines()) < maps + 20


def test_a_closed_machine_unmaps_its_ram(core: str) -> None:
    guest = Guest("power_off")
    maps = Path("/proc/self/maps").read_text().count("guest-ram")
    guest.close()
    assert Path("/proc/self/maps").read_text().count("guest-ram") == maps - 1


def test_machines_run_beside_each_other(core: str) -> None:
    guests = [Guest(f"load x20, {number} \n power_off") for number in range(4)]
    for guest in guests:
        assert guest.run() == Shutdown()
    assert [guest.register("x20") for guest in guests] == [0, 1, 2, 3]
    for guest in guests:
        guest.close()


def test_a_forked_child_can_use_its_copy(core: str) -> None:
    guest = Guest("mov x20, #1 \n power_off")
    child = os.fork()
    if child == 0:
        os._exit(0 if guest.vcpu.run() == Shutdown() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert guest.run() == Shutdown()
    guest.close()


def test_ram_may_be_given_back_before_the_machine() -> None:
    memory = GuestMemory([(Gpa(0x4000_0000), 1 << 20)])
    guest = Guest("power_off")
    clock = MachineClock(guest.devices.lock)
    vm = open_unicorn().create_vm("arm64", memory, clock)
    vm.create_vcpu(0, guest.devices)
    memory.close()
    vm.close()
    clock.close()
    guest.close()


def test_an_engine_that_cannot_be_used_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = Engine.close

    def note(engine: Engine) -> None:
        closed.append(engine)
        close(engine)

    def refuse(engine: Engine, *_: object) -> None:
        raise EngineError("cannot map devices", 11, "no")

    guest = Guest("b .")
    monkeypatch.setattr(Engine, "close", note)
    monkeypatch.setattr(Engine, "map_devices", refuse)
    with pytest.raises(EngineError):
        guest.vm.create_vcpu(1, guest.devices)
    assert len(closed) == 1
    guest.close()
