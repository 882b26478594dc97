"""Rings and chains: order, wrapping, notifications, and every rule that a driver can break."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.virtio import driver as d
from tests.vmm.devices.virtio.driver import Guest, Used
from tests.vmm.devices.virtio.echo import Echo
from vmm.devices.virtio.chain import MAX_INDIRECT, Buffers, copy_to
from vmm.devices.virtio.queue import distance


@pytest.fixture
def guest() -> Guest:
    return make_guest()


def make_guest(features: int | None = None) -> Guest:
    memory = d.ram()
    guest = Guest(Echo(memory), memory)
    guest.start(features)
    return guest


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_distances_wrap_around(start: int, steps: int) -> None:
    assert distance((start + steps) % 65536, start) == steps


# ---- Buffers ----

PARTS = st.lists(st.binary(min_size=1, max_size=20), max_size=8)


def buffers(parts: list[bytes]) -> Buffers:
    views = [memoryview(bytearray(part)) for part in parts]
    return Buffers(views, sum(map(len, views)))


@given(PARTS, st.lists(st.integers(0, 60), max_size=6))
def test_reads_take_from_the_front(parts: list[bytes], lengths: list[int]) -> None:
    subject, rest = buffers(parts), b"".join(parts)
    for length in lengths:
        assert subject.read(length) == rest[:length]
        rest = rest[length:]
        assert subject.length == len(rest) == sum(map(len, subject.views))


@given(PARTS, st.integers(0, 200))
def test_the_end_can_be_taken_alone(parts: list[bytes], length: int) -> None:
    subject, whole = buffers(parts), b"".join(parts)
    cut = max(len(whole) - length, 0)
    assert b"".join(subject.take_last(length)) == whole[cut:]
    assert b"".join(subject.views) == whole[:cut]
    assert subject.length == cut


@given(PARTS, st.binary(max_size=100), st.binary(max_size=100))
def test_writes_fill_the_front(parts: list[bytes], first: bytes, second: bytes) -> None:
    subject = buffers(parts)
    views, room = list(subject.views), subject.length
    assert subject.write(first) + subject.write(second) == min(room, len(first + second))
    content = b"".join(views)
    data = (first + second)[:room]
    assert content == data + b"".join(parts)[len(data) :]


def test_what_does_not_fit_is_left_out() -> None:
    view = memoryview(bytearray(3))
    assert copy_to([view], b"abcdef") == 3
    assert view == b"abc"


# ---- Chains ----


@pytest.mark.parametrize("indirect", [False, True])
@given(readable=PARTS, room=st.lists(st.integers(0, 30), max_size=8))
def test_chains_of_any_shape(indirect: bool, readable: list[bytes], room: list[int]) -> None:
    guest = make_guest()
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


def test_direct_descriptors_may_come_before_an_indirect_one(guest: Guest) -> None:
    queue = guest.queues[0]
    text, answer = queue.allocate(3, b"abc"), queue.allocate(3)
    inner = d.pack("<QIHH", answer, 3, d.WRITE, 0)
    queue.describe(0, text, 3, d.NEXT, 1)
    # The write flag of the descriptor that refers to a table is to be ignored (2.7.5.3.2).
    queue.describe(1, queue.allocate(16, inner), 16, d.INDIRECT | d.WRITE)
    queue.publish(0)
    guest.kick(0)
    assert queue.take() == Used(0, 3)
    assert guest.memory.read(d.Gpa(answer), 3) == b"abc"


def broken_loop(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, d.NEXT, 0)


def broken_long_loop(guest: Guest) -> None:
    for index in range(16):
        guest.queues[0].describe(index, d.RAM, 4, d.NEXT, (index + 1) % 16)


def broken_next(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, d.NEXT, 16)


def broken_address(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM - 4, 8)


def broken_end(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM + d.RAM_SIZE - 4, 8)


def broken_wrap(guest: Guest) -> None:
    guest.queues[0].describe(0, (1 << 64) - 4, 8)


def broken_length(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 0xFFFF_FFFF)


def broken_order(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 4, d.WRITE | d.NEXT, 1)
    guest.queues[0].describe(1, d.RAM, 4)


def broken_indirect_next(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 16, d.INDIRECT | d.NEXT, 1)


def broken_indirect_empty(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 0, d.INDIRECT)


def broken_indirect_size(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 17, d.INDIRECT)


def broken_indirect_long(guest: Guest) -> None:
    guest.queues[0].describe(0, d.RAM, 16 * (MAX_INDIRECT + 1), d.INDIRECT)


def broken_indirect_outside(guest: Guest) -> None:
    guest.queues[0].describe(0, 0, 16, d.INDIRECT)


def broken_indirect_twice(guest: Guest) -> None:
    inner = guest.queues[0].allocate(16, d.pack("<QIHH", d.RAM, 16, d.INDIRECT, 0))
    guest.queues[0].describe(0, inner, 16, d.INDIRECT)


def broken_indirect_loop(guest: Guest) -> None:
    inner = guest.queues[0].allocate(16, d.pack("<QIHH", d.RAM, 16, d.NEXT, 0))
    guest.queues[0].describe(0, inner, 16, d.INDIRECT)


RULES = [
    broken_loop,
    broken_long_loop,
    broken_next,
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
    broken_indirect_twice,
    broken_indirect_loop,
]


@pytest.mark.parametrize("break_rule", RULES)
def test_a_broken_rule_needs_a_reset(break_rule: object, guest: Guest) -> None:
    assert callable(break_rule)
    break_rule(guest)
    guest.queues[0].publish(0)
    guest.kick(0)
    assert guest.needs_reset
    assert guest.queues[0].take() is None
    guest.start()
    assert guest.request(0, b"well", 4) == (b"well", 4)


@pytest.mark.parametrize("index", [17, 0x7FFF, 0xFFFF])
def test_more_available_than_the_queue_holds_needs_a_reset(guest: Guest, index: int) -> None:
    guest.memory.write(d.Gpa(guest.queues[0].available + 2), d.pack("<H", index))
    guest.kick(0)
    assert guest.needs_reset


def test_chains_longer_than_4_gib_need_a_reset() -> None:
    guest = make_guest()
    queue = guest.queues[0]
    count = MAX_INDIRECT
    assert count * d.RAM_SIZE == 1 << 32
    entry = d.pack("<QIHH", d.RAM, d.RAM_SIZE, d.NEXT, 0)
    table = b"".join(entry[:14] + d.pack("<H", index + 1) for index in range(count - 1))
    table += d.pack("<QIHH", d.RAM, d.RAM_SIZE, d.WRITE, 0)
    queue.describe(0, queue.allocate(len(table), table), len(table), d.INDIRECT)
    queue.describe(1, queue.allocate(1), 1, d.NEXT, 0)
    queue.publish(1)
    guest.kick(0)
    assert guest.needs_reset


def test_two_queues_on_the_same_memory_harm_only_the_guest() -> None:
    guest = make_guest()
    queue = guest.queues[0]
    guest.negotiate(d.VERSION_1)
    guest.set_up(0, queue)
    guest.set_up(1, queue)
    guest.write(d.STATUS, 0xF)
    queue.offer([(queue.allocate(4, b"abcd"), 4, False), (queue.allocate(4), 4, True)])
    guest.kick(0)
    guest.kick(1)
    assert not guest.needs_reset
    assert queue.used_index == 1


def test_a_used_ring_over_the_available_ring_harms_only_the_guest() -> None:
    guest = make_guest()
    queue = guest.queues[0]
    guest.negotiate(d.VERSION_1)
    queue.used = queue.available & ~3
    guest.set_up(0, queue)
    guest.write(d.STATUS, 0xF)
    queue.offer([(queue.allocate(4, b"abcd"), 4, False)])
    guest.kick(0)
    guest.start()


# ---- Order and indices ----


@pytest.mark.parametrize("features", [d.VERSION_1, d.VERSION_1 | d.EVENT_IDX], ids=hex)
def test_indices_wrap_around(features: int) -> None:
    guest = make_guest(features)
    queue = guest.queues[0]
    buffer = queue.allocate(4)
    for _ in range(70_000 // 16):
        heads = [queue.offer([(buffer, 4, True)]) for _ in range(16)]
        guest.kick(0)
        assert [used.head for used in iter(queue.take, None)] == heads
    assert queue.next_used == 70_000 // 16 * 16 % 65536


@given(st.lists(st.integers(0, 6), max_size=40))
def test_chains_come_back_in_order(batches: list[int]) -> None:
    guest = make_guest()
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


# ---- Notifications ----


def test_a_driver_can_do_without_interrupts() -> None:
    guest = make_guest(d.VERSION_1)
    queue = guest.queues[0]
    queue.set_flags(1)
    guest.request(0, b"quiet", 5)
    assert not guest.irq.level
    queue.set_flags(0)
    guest.request(0, b"loud", 4)
    assert guest.irq.level


def test_the_flag_counts_for_nothing_with_an_event_index(guest: Guest) -> None:
    guest.queues[0].set_flags(1)
    guest.request(0, b"loud", 4)
    assert guest.irq.level


@given(
    first=st.integers(0, 70_000 // 16),
    event=st.integers(-3, 16),
    batch=st.integers(1, 12),
)
def test_interrupts_come_when_the_event_index_is_passed(first: int, event: int, batch: int) -> None:
    guest = make_guest()
    queue = guest.queues[0]
    buffer = queue.allocate(4)
    # Near the wrap-around without serving 65536 requests: the device starts at any index.
    start = (65536 - 8 + first) % 65536 if first % 2 else first % 65536
    device = guest.device.queues[0]
    state = device.save()
    values = dict(state.values) | {
        "_next_available": start,
        "_next_used": start,
        "_signalled": start,
    }
    device.load(type(state)(state.device, state.version, tuple(values.items())))
    queue.next_available = queue.next_used = start
    guest.memory.write(d.Gpa(queue.available + 2), d.pack("<H", start))
    queue.set_used_event((start + event) % 65536)
    for _ in range(batch):
        queue.offer([(buffer, 4, True)])
    guest.kick(0)
    assert guest.irq.level == (0 <= event < batch)


def test_the_driver_is_asked_to_kick_for_the_next_chain(guest: Guest) -> None:
    for count in range(1, 4):
        guest.request(0, b"x", 1)
        assert guest.queues[0].available_event == count


def test_nothing_used_means_no_interrupt(guest: Guest) -> None:
    guest.kick(0)
    assert not guest.irq.level
