"""Every virtio device is saved in the middle of activity and goes on elsewhere alike."""

from __future__ import annotations

import pkgutil
import random
from importlib import import_module

import pytest

import vmm.devices.virtio
from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.kinds import KINDS, Make
from tests.vmm.devices.virtio.test_hostile import scribble
from vmm.devices.virtio.device import VirtioDevice
from vmm.devices.virtio.mmio import VirtioMmio

STEPS = 120


def test_all_kinds_are_tested_here() -> None:
    for module in pkgutil.iter_modules(vmm.devices.virtio.__path__, "vmm.devices.virtio."):
        import_module(module.name)
    ours = {c for c in VirtioDevice.__subclasses__() if c.__module__.startswith("vmm.")}
    assert ours <= {type(make(d.ram())) for make in KINDS}


def twin_of(make: Make, guest: Guest) -> Guest:
    """Return a guest on a copy of the RAM, with a device that continues what ``guest`` does."""
    memory = d.ram()
    memory.write(d.Gpa(d.RAM), guest.memory.view(d.RAM, d.RAM_SIZE))
    twin = Guest(make(memory), memory)
    twin.transport.load(guest.transport.save())
    twin.queues = [queue.copied_to(memory) for queue in guest.queues]
    return twin


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("seed", list(range(4)))
def test_a_device_restored_in_the_middle_goes_on_alike(make: Make, seed: int) -> None:
    memory = d.ram()
    guest = Guest(make(memory), memory)
    guest.start()
    dice = random.Random(seed)
    for _ in range(STEPS):
        scribble(dice, guest)
    state = guest.transport.save()
    hash(state)
    twin = twin_of(make, guest)
    assert twin.transport.save() == state
    assert twin.irq.level == guest.irq.level
    old_dice, new_dice = random.Random(seed), random.Random(seed)
    for _ in range(STEPS):
        scribble(old_dice, guest)
        scribble(new_dice, twin)
        assert twin.irq.level == guest.irq.level
    assert twin.memory.read(d.Gpa(d.RAM), d.RAM_SIZE) == guest.memory.read(d.Gpa(d.RAM), d.RAM_SIZE)


@pytest.mark.parametrize("make", KINDS)
def test_reset_leads_back_to_the_beginning(make: Make) -> None:
    memory = d.ram()
    guest = Guest(make(memory), memory)
    fresh = guest.transport.save()
    guest.start()
    dice = random.Random(1)
    for _ in range(STEPS):
        scribble(dice, guest)
    guest.write(d.STATUS, 0)
    assert guest.transport.save() == fresh
    assert not guest.irq.level


def test_a_device_that_needs_a_reset_can_be_restored() -> None:
    make = KINDS[0]
    memory = d.ram()
    guest = Guest(make(memory), memory)
    guest.start()
    guest.negotiate(d.VERSION_1)
    guest.write64(d.QUEUE_DESC, 3)
    guest.write(d.QUEUE_READY, 1)
    assert guest.needs_reset
    twin = twin_of(make, guest)
    assert twin.needs_reset
    twin.write(d.STATUS, 0xF)
    twin.kick(0)
    twin.start()
    assert twin.request(0, b"well", 4)[1] == 4


def test_the_transport_has_a_reference_page() -> None:
    from vmm.devices.reference import describe

    page = describe(VirtioMmio)
    for register in VirtioMmio.registers.values():
        assert f"| {register.name}" in page
