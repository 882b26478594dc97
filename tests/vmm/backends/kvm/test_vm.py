from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator

import pytest

from tests.descriptors import open_descriptors
from tests.vmm.backends.kvm.machines import (
    ACCUMULATOR,
    DEVICE,
    RAM,
    RAM_SIZE,
    STOP_CODE,
    STORE,
    Machine,
    Recorder,
    guest_mappings,
    machine,
)
from vmm.arch import host_arch
from vmm.backends.exits import Interrupted
from vmm.backends.kvm.errors import KvmError
from vmm.backends.kvm.hypervisor import open_kvm
from vmm.errors import BackendUnavailable, GuestMemoryError, VmmError
from vmm.memory import GuestMemory

pytestmark = pytest.mark.kvm


@pytest.fixture
def guest() -> Iterator[Machine]:
    with machine() as made:
        yield made


@pytest.fixture
def event() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def test_nothing_is_left_of_a_machine() -> None:
    with machine():
        pass
    files, mappings = open_descriptors(), guest_mappings()
    for _ in range(3):
        with machine() as guest:
            guest.vm.create_vcpu(1, guest.bus)
            guest.run(STORE + STOP_CODE)
            assert len(open_descriptors()) > len(files)
            assert len(guest_mappings()) > len(mappings)
    assert open_descriptors() == files
    assert guest_mappings() == mappings


def test_closing_twice_is_harmless(guest: Machine) -> None:
    for _ in range(2):
        guest.vcpu.close()
        guest.vm.close()
        guest.kvm.close()


def test_all_files_close_on_exec(guest: Machine) -> None:
    # KVM's own, and the duplicate that the mapping of a vCPU holds.
    names = {number: name for number, name in open_descriptors().items() if "kvm" in name}
    assert len(names) >= 4
    assert [number for number in names if os.get_inheritable(int(number))] == []


def test_ram_does_not_vanish_under_a_machine(guest: Machine) -> None:
    before = guest_mappings()
    guest.load(STORE + STOP_CODE)
    guest.memory.close()
    assert guest.vcpu.run() == Interrupted()
    assert len(guest.bus.accesses) == 1
    guest.vm.close()
    # The vCPU's page and the RAM.
    assert len(guest_mappings()) == len(before) - 2


def test_wherever_descriptors_run_out_nothing_is_left_behind() -> None:
    arch = host_arch()
    assert arch is not None
    kvm = open_kvm()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors = []
    with GuestMemory([(RAM, RAM_SIZE)]) as memory:
        before = open_descriptors()
        next_free = os.dup(memory.fd)
        os.close(next_free)
        for allowed in range(256):
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_free + allowed, hard))
            try:
                vm = kvm.create_vm(arch, memory)
                try:
                    vm.create_vcpu(0, Recorder())
                finally:
                    vm.close()
                break
            except VmmError as error:
                errors.append(str(error))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert open_descriptors() == before
    kvm.close()
    # The machine's, the vCPU's, and the one that its mapping holds. Where other open files lie
    # between the free numbers, one of them is missing more than once.
    assert list(dict.fromkeys(error.split(" (")[0] for error in errors)) == [
        "KVM cannot make a machine: KVM_CREATE_VM",
        "KVM_CREATE_VCPU",
        "mmap",
    ]
    assert all("EMFILE" in error and "ulimit -n" in error for error in errors)


def test_signals_do_not_keep_a_machine_from_being_made() -> None:
    handled = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: handled.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    made = 0
    try:
        while made < 5 or len(handled) < 30:
            with machine() as guest:
                guest.run(STORE + STOP_CODE)
            made += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ram_that_kvm_refuses_leaves_nothing_behind() -> None:
    kvm = open_kvm()
    arch = host_arch()
    assert arch is not None
    # More than any processor can address.
    with GuestMemory([(RAM, RAM_SIZE), (1 << 60, RAM_SIZE)]) as memory:
        before = open_descriptors()
        with pytest.raises(BackendUnavailable, match="0x1000000000"):
            kvm.create_vm(arch, memory)
        assert open_descriptors() == before
    kvm.close()


def test_a_second_vcpu_of_one_index_is_refused_and_leaves_nothing_behind(guest: Machine) -> None:
    before = open_descriptors()
    with pytest.raises(KvmError, match=r"KVM_CREATE_VCPU \(vCPU 0\) failed: EEXIST"):
        guest.vm.create_vcpu(0, guest.bus)
    assert open_descriptors() == before


def test_more_vcpus_than_the_host_allows_are_refused_by_number(guest: Machine) -> None:
    with pytest.raises(BackendUnavailable, match=r"allows \d+ vCPUs in a machine"):
        guest.vm.create_vcpu(1 << 20, guest.bus)


def test_every_region_of_ram_is_there() -> None:
    arch = host_arch()
    assert arch is not None
    kvm = open_kvm()
    second = RAM + 0x100_0000
    with GuestMemory([(RAM, RAM_SIZE), (second, 0x2000)]) as memory:
        vm = kvm.create_vm(arch, memory)
        guest = Machine(kvm, memory, vm)
        address = "rdi" if arch == "x86_64" else "x1"
        accesses = guest.run(STORE + STOP_CODE, **{address: second + 0x1FFC, ACCUMULATOR: 77})
        assert accesses == []
        assert memory.read_u32(second + 0x1FFC) == 77
        with pytest.raises(GuestMemoryError):
            memory.read_u32(second + 0x2000)
        vm.close()
    kvm.close()


# ---- Event descriptors ----


def test_an_event_takes_the_place_of_an_exit(guest: Machine, event: int) -> None:
    guest.vm.ioeventfd(event, DEVICE, 4)
    assert guest.run(STORE * 3 + STOP_CODE) == []
    assert os.eventfd_read(event) == 3


def test_an_event_can_match_any_size(guest: Machine, event: int) -> None:
    guest.vm.ioeventfd(event, DEVICE)
    assert guest.run(STORE + STOP_CODE) == []
    assert os.eventfd_read(event) == 1


def test_an_event_can_match_one_value(guest: Machine, event: int) -> None:
    guest.vm.ioeventfd(event, DEVICE, 4, value=7)
    assert guest.run(STORE + STOP_CODE, **{ACCUMULATOR: 6}) == [("store", DEVICE, 4, 6)]
    guest.bus.accesses.clear()
    assert guest.run(STORE + STOP_CODE, **{ACCUMULATOR: 7}) == []
    assert os.eventfd_read(event) == 1


def test_a_removed_event_gives_its_place_back(guest: Machine, event: int) -> None:
    guest.vm.ioeventfd(event, DEVICE, 4)
    guest.vm.remove_ioeventfd(event, DEVICE, 4)
    assert guest.run(STORE + STOP_CODE) == [("store", DEVICE, 4, 0)]


def test_two_events_at_one_place_are_refused(guest: Machine, event: int) -> None:
    guest.vm.ioeventfd(event, DEVICE, 4)
    with pytest.raises(KvmError, match=rf"KVM_IOEVENTFD \(eventfd {event} at address .*EEXIST"):
        guest.vm.ioeventfd(event, DEVICE, 4)


def test_an_interrupt_needs_an_eventfd(guest: Machine) -> None:
    with open(os.devnull) as file, pytest.raises(KvmError, match="KVM_IRQFD"):
        guest.vm.irqfd(file.fileno(), 5)
