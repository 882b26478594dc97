"""The host's end of the service ring, with the test as the guest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.errors import VmmError
from vmm.hypercall import abi
from vmm.hypercall.ring import ENTRIES, Ring
from vmm.memory import Gpa, GuestMemory

GPA = 0x10_0000
LENGTH = 1 << 18
U32 = st.integers(0, 0xFFFF_FFFF)


class Guest:
    """The other end, by the words of the header alone."""

    def __init__(self, memory: GuestMemory) -> None:
        self.view = memory.view(GPA, LENGTH)

    @property
    def header(self) -> tuple[int, ...]:
        return abi.RING.unpack_from(self.view)

    def submission(self, index: int) -> tuple[int, ...]:
        offset, count = self.header[3:5]
        return abi.SUBMISSION.unpack_from(self.view, offset + index % count * abi.SUBMISSION.size)

    def complete(self, index: int, tag: int, result: int) -> None:
        offset, count = self.header[5:7]
        abi.COMPLETION.pack_into(
            self.view, offset + index % count * abi.COMPLETION.size, tag, result
        )
        self.set_indices(completion_tail=index + 1)

    def set_indices(self, **values: int) -> None:
        names = ("submission_tail", "completion_head", "submission_head", "completion_tail")
        for name, value in values.items():
            at = abi.RING_INDICES_OFFSET + 4 * names.index(name)
            self.view[at : at + 4] = (value & 0xFFFF_FFFF).to_bytes(4, "little")


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    with GuestMemory([(Gpa(0), 1 << 21)]) as memory:
        yield memory


def test_the_layout_is_as_the_header_says(memory: GuestMemory) -> None:
    Ring(memory, GPA, LENGTH)
    magic, version, size, *layout = Guest(memory).header
    submissions, count, completions, completion_count, window, window_length = layout[:6]
    assert (magic, version, size) == (abi.RING_MAGIC, abi.RING_VERSION, 72)
    assert submissions >= size
    assert completions >= submissions + count * abi.SUBMISSION.size
    assert window >= completions + completion_count * abi.COMPLETION.size
    assert window % 4096 == window_length % 4096 == 0
    assert window + window_length == LENGTH
    assert layout[6:] == [0] * 6


def test_submissions_and_completions_go_round(memory: GuestMemory) -> None:
    ring, guest = Ring(memory, GPA, LENGTH), Guest(memory)
    for number in range(3 * ENTRIES):
        ring.submit(number, abi.CALL, 0, 1, 39, *range(6))
        assert ring.submitted
        assert guest.submission(number) == (number, abi.CALL, 0, 1, 39, *range(6))
        guest.set_indices(submission_head=number + 1)
        assert not ring.submitted
        guest.complete(number, number, -number)
        assert ring.collect() == [(number, -number)]
    assert ring.collect() == []


def test_indices_run_over_the_end_of_32_bits(memory: GuestMemory) -> None:
    ring, guest = Ring(memory, GPA, LENGTH), Guest(memory)
    last = 0xFFFF_FFFF
    guest.set_indices(
        submission_tail=last, submission_head=last, completion_head=last, completion_tail=last
    )
    ring.submit(7, abi.CALL, 0, 1, 39, *[0] * 6)
    assert guest.submission(last)[0] == 7
    assert guest.header[-4] == 0
    guest.complete(last, 7, 1)
    assert ring.collect() == [(7, 1)]


def test_a_region_that_is_too_small_is_refused(memory: GuestMemory) -> None:
    with pytest.raises(VmmError, match="needs more than 4096 bytes"):
        Ring(memory, GPA, 4096)


@given(indices=st.tuples(U32, U32, U32, U32), rest=st.binary(max_size=200))
def test_nothing_that_a_guest_writes_is_more_than_one_round(
    indices: tuple[int, int, int, int], rest: bytes
) -> None:
    with GuestMemory([(Gpa(0), 1 << 21)]) as memory:
        ring, guest = Ring(memory, GPA, LENGTH), Guest(memory)
        guest.view[: len(rest)] = rest
        tail, head, taken, posted = indices
        guest.set_indices(
            submission_tail=tail,
            completion_head=head,
            submission_head=taken,
            completion_tail=posted,
        )
        assert len(ring.collect()) <= ENTRIES
        ring.submit(1, abi.CALL, 0, 1, 39, *[0] * 6)
        assert ring.submitted == (tail + 1 & 0xFFFF_FFFF != taken)
