"""Virtqueues of either layout: order, wrapping, notifications, and rules that drivers break."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest
from tests.vmm.devices.virtio.echo import Echo
from tests.vmm.devices.virtio.kinds import packed
from tests.vmm.devices.virtio.rings import INDIRECT, NEXT, WRITE, PackedDriverQueue, Used
from vmm.devices.virtio.chain import MAX_INDIRECT

LAYOUTS = {"split": Echo, "packed": packed(Echo)}

layouts = pytest.mark.parametrize("layout", list(LAYOUTS))


@pytest.fixture(params=list(LAYOUTS))
def guest(request: pytest.FixtureRequest) -> Guest:
    return make_guest(request.param)


def make_guest(layout: str, without: int = 0) -> Guest:
    """Return a guest that accepts all features but ``without``."""
    memory = d.ram()
    guest = Guest(LAYOUTS[layout](memory), memory)
    guest.start(guest.features() & ~without)
    return guest


# ---- Chains ----


@layouts
@pytest.mark.parametrize("indirect", [False, True])
@given(
    readable=st.lists(st.binary(min_size=1, max_size=20), max_size=8),
    room=st.lists(st.integers(0, 30), max_size=8),
)
def test_chains_of_any_shape(
    layout: str, indirect: bool, readable: list[bytes], room: list[int]
) -> None:
    guest = make_guest(layout)
    queue = guest.queues[0]
    sent = b"".join(readable)
    offered = [(queue.allocate(len(part), part), len(part), False) for part in readable]
    answer = [(queue.allocate(length), length, True) for length in room]
    if not offered + answer:
        return
    head = queue.offer(offered + answer, indirect=indirect)
    guest.kick(0)
    expected = sent[: sum(room)]
    assert queue.take() == Used(head, len(expected))
    got = b"".join(guest.memory.read(d.Gpa(address), length) for address, length, _ in answer)
    assert got == expected + bytes(sum(room) - len(expected))


def broken_loop(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, NEXT, 0)


def broken_long_loop(guest: Guest) -> None:
    for index in range(16):
        guest.queues[0].describe(index, d.RAM, 4, NEXT, (index + 1) % 16)


def broken_address(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM - 4, 8)


def broken_end(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM + d.RAM_SIZE - 4, 8)


def broken_wrap(guest: Guest) -> None:
    guest.queues[0].describe(0, (1 << 64) - 4, 8)


def broken_length(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 0xFFFF_FFFF)


def broken_order(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, WRITE | NEXT, 1)
    guest.queues[0].describe(1, d.RAM, 4)


def broken_indirect_next(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 16, INDIRECT | NEXT, 1)


def broken_indirect_empty(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 0, INDIRECT)


def broken_indirect_size(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 17, INDIRECT)


def broken_indirect_long(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 16 * (MAX_INDIRECT + 1), INDIRECT)


def broken_indirect_outside(guest: Guest) -> None:
    guest.queues[0].describe(0, 0, 16, INDIRECT)


RULES = [
    broken_loop,
    broken_long_loop,
    broken_address,
    broken_end,
    broken_wrap,
    broken_length,
    broken_order,
    broken_indirect_next,
    broken_indirect_empty,
    broken_indirect_size,
    broken_indirect_long,
    broken_indirect_outside,
]


@pytest.mark.parametrize("break_rule", RULES)
def test_a_broken_rule_needs_a_reset(break_rule: Callable[[Guest], None], guest: Guest) -> None:
    break_rule(guest)
    guest.queues[0].publish(0)
    guest.kick(0)
    assert guest.needs_reset
    assert guest.queues[0].take() is None
    guest.start()
    assert guest.request(0, b"well", 4) == (b"well", 4)


def test_chains_longer_than_4_gib_need_a_reset(guest: Guest) -> None:
    queue = guest.queues[0]
    readable, writable = d.Gpa(d.RAM), True
    parts = [(readable, d.RAM_SIZE, False)] * (MAX_INDIRECT - 1)
    assert MAX_INDIRECT * d.RAM_SIZE == 1 << 32
    queue.offer([*parts, (readable, d.RAM_SIZE - 1, writable)], indirect=True)
    guest.kick(0)
    assert not guest.needs_reset
    queue.offer([*parts, (readable, d.RAM_SIZE, writable), (d.RAM, 1, writable)], indirect=True)
    guest.kick(0)
    assert guest.needs_reset


def test_two_queues_on_the_same_memory_harm_only_the_guest(guest: Guest) -> None:
    queue = guest.queues[0]
    guest.negotiate(guest.features())
    guest.set_up(0, queue)
    guest.set_up(1, queue)
    guest.write(d.STATUS, 0xF)
    queue.offer([(queue.allocate(4, b"abcd"), 4, False), (queue.allocate(4), 4, True)])
    guest.kick(0)
    guest.kick(1)
    assert not guest.needs_reset
    assert queue.take() is not None
    assert queue.take() is None


# ---- Order and indices ----

# Where indices begin anew; of a packed queue of 16, positions.
MODULUS = {"split": 1 << 16, "packed": 2 * 16}


@pytest.mark.parametrize("without", [0, d.EVENT_IDX], ids=hex)
@pytest.mark.parametrize(("layout", "count"), [("split", 70_000), ("packed", 200)])
def test_indices_wrap_around(layout: str, count: int, without: int) -> None:
    guest = make_guest(layout, without)
    queue = guest.queues[0]
    buffer = queue.allocate(4)
    for _ in range(count // 16):
        heads = [queue.offer([(buffer, 4, True)]) for _ in range(16)]
        guest.kick(0)
        assert [used.head for used in iter(queue.take, None)] == heads
    assert queue.next_used == count // 16 * 16 % MODULUS[layout]


@layouts
@given(batches=st.lists(st.integers(0, 6), max_size=40))
def test_chains_come_back_in_order(layout: str, batches: list[int]) -> None:
    guest = make_guest(layout)
    queue = guest.queues[0]
    buffer = queue.allocate(4)
    waiting: deque[int] = deque()
    for batch in batches:
        for _ in range(batch):
            waiting.append(queue.offer([(buffer, 2, False), (buffer + 2, 2, True)]))
        guest.kick(0)
        while used := queue.take():
            assert used == Used(waiting.popleft(), 2)
        assert not waiting


@layouts
@given(
    chains=st.lists(
        st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.booleans()), max_size=5
    ),
    room=st.integers(1, 60),
    data=st.data(),
)
def test_chains_are_seen_before_they_are_taken(
    layout: str, chains: list[tuple[list[int], bool]], room: int, data: st.DataObject
) -> None:
    guest = make_guest(layout)
    queue, device = guest.queues[0], guest.device.queues[0]
    buffer = queue.allocate(9)
    heads = [
        queue.offer([(buffer, length, True) for length in lengths], indirect=indirect)
        for lengths, indirect in chains
    ]
    sizes = [sum(lengths) for lengths, _ in chains]
    enough = next((n for n in range(len(sizes)) if sum(sizes[:n]) >= room), len(sizes))
    before = device.next_available
    ahead = device.peek(room)
    assert [(head, size) for head, _, size in ahead.chains] == list(
        zip(heads[:enough], sizes[:enough], strict=True)
    )
    assert [len(view) for view in ahead.views] == [
        part for parts, _ in chains[:enough] for part in parts
    ]
    assert ahead.length == sum(sizes[:enough])
    assert device.next_available == before
    if not enough:
        return
    length = data.draw(st.integers(1, ahead.length))
    device.push_all(device.take(length))
    filled = []
    while used := queue.take():
        filled.append(used)
    number = next(n for n in range(1, enough + 1) if sum(sizes[:n]) >= length)
    last = length - sum(sizes[: number - 1])
    assert [used.head for used in filled] == heads[:number]
    assert [used.length for used in filled] == [*sizes[: number - 1], last]
    # The others are still there, in this order.
    assert [head for head, _, _ in device.peek(1 << 16).chains] == heads[number:]


# ---- Notifications ----


@layouts
def test_a_driver_can_do_without_interrupts(layout: str) -> None:
    guest = make_guest(layout, d.EVENT_IDX)
    queue = guest.queues[0]
    queue.set_quiet(True)
    guest.request(0, b"quiet", 5)
    assert not guest.irq.level
    queue.set_quiet(False)
    guest.request(0, b"loud", 4)
    assert guest.irq.level


def start_at(guest: Guest, index: int) -> None:
    """Let the first queue be as if it had been in use for long."""
    queue, device = guest.queues[0], guest.device.queues[0]
    state = device.save()
    values = dict(state.values) | {"next_available": index, "next_used": index}
    device.load(type(state)(state.device, state.version, tuple(values.items())))
    queue.next_available = queue.next_used = index
    if not isinstance(queue, PackedDriverQueue):
        guest.memory.write(d.Gpa(queue.available + 2), pack("<H", index))


@layouts
@given(start=st.integers(-20, 40), event=st.integers(-3, 16), batch=st.integers(1, 12))
def test_interrupts_come_when_the_event_index_is_passed(
    layout: str, start: int, event: int, batch: int
) -> None:
    guest = make_guest(layout)
    queue = guest.queues[0]
    buffer = queue.allocate(4)
    start_at(guest, start % MODULUS[layout])
    queue.set_used_event((start + event) % MODULUS[layout])
    for _ in range(batch):
        queue.offer([(buffer, 4, True)])
    guest.kick(0)
    assert guest.irq.level == (0 <= event < batch)


def test_the_driver_is_asked_to_kick_for_the_next_chain(guest: Guest) -> None:
    for _ in range(20):
        guest.request(0, b"x", 1)
        assert guest.queues[0].available_event == guest.queues[0].next_available


def test_nothing_used_means_no_interrupt(guest: Guest) -> None:
    guest.kick(0)
    assert not guest.irq.level
