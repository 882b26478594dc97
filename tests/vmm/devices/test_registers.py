"""The register map: one behaviour a test, then arbitrary accesses against a model of bytes."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmm.devices.parts import Wire
from vmm.devices import registers
from vmm.devices.decoder import MAX_NOTED
from vmm.devices.device import State
from vmm.devices.reference import describe
from vmm.devices.registers import (
    RC,
    RESERVED,
    RO,
    UNMODELLED,
    W1C,
    W1S,
    WO,
    Register,
    RegisterArray,
    RegisterDevice,
    internal,
)
from vmm.errors import UsageError


class Lamp(RegisterDevice):
    """A lamp with everything that a register map can say."""

    CONTROL = Register(0x00, "Control", reset=0x8000_0001)
    CONTROL_ON = CONTROL.bit(0, "shines")
    CONTROL_COLOUR = CONTROL.bits(7, 4, "colour")
    CONTROL_BLINK = CONTROL.bit(8, "blinks", UNMODELLED)
    CONTROL_FACTORY = CONTROL.bit(9, "for the factory", RESERVED)
    CONTROL_MODEL = CONTROL.bit(31, "set on this model", RO)
    STATUS = Register(0x04, "Status")
    STATUS_BURNT = STATUS.bit(0, "burnt out", W1C)
    STATUS_SET = STATUS.bit(1, "set by writing", W1S)
    STATUS_SEEN = STATUS.bit(2, "cleared by reading", RC)
    STATUS_KEY = STATUS.bit(3, "cannot be read", WO)
    ANSWER = Register(0x08, "Answer", RO, reset=42)
    QUESTION = Register(0x08, "Question", WO)
    SMALL = Register(0x0C, "Small", width=8, span=4)
    LEVELS = RegisterArray(0x10, 4, "Levels", width=16, reset=7)
    INDEXED = Register(0x00, "Indexed", bank="other")
    COMPUTED = Register(0x18, "Computed")

    log: list[object]
    _depth = internal(3)
    _queue: list[int] = internal([])

    def __init__(self, *, stride: int = 1) -> None:
        self.log = []
        super().__init__(stride=stride)

    @QUESTION.on_write
    def _ask(self, value: int) -> None:
        self.log.append(("ask", value))

    @LEVELS.after_write
    def _level_changed(self, index: int) -> None:
        self.log.append(("level", index, self.LEVELS[index]))

    @COMPUTED.on_read
    def _compute(self) -> int:
        return 0xAABB_CCDD

    @COMPUTED.on_write
    def _computed(self, value: int) -> None:
        self.log.append(("computed", value))


def test_a_register_holds_what_is_written_to_its_read_write_bits() -> None:
    lamp = Lamp()
    lamp.write(0x00, 4, 0xFFFF_FFFF)
    assert lamp.read(0x00, 4) == 0x8000_01F1
    lamp.write(0x00, 4, 0)
    assert lamp.read(0x00, 4) == 0x8000_0000


def test_reset_gives_the_declared_values() -> None:
    lamp = Lamp()
    lamp.write(0x00, 4, 0)
    lamp.LEVELS[2] = 9
    lamp._queue.append(1)
    lamp.reset()
    assert (lamp.CONTROL, lamp.LEVELS, lamp._queue) == (0x8000_0001, [7] * 4, [])


def test_two_devices_share_no_state() -> None:
    one, other = Lamp(), Lamp()
    one.LEVELS[0] = 1
    one._queue.append(1)
    assert (other.LEVELS[0], other._queue) == (7, [])


def test_write_one_to_clear() -> None:
    lamp = Lamp()
    lamp.STATUS = lamp.STATUS_BURNT
    lamp.write(0x04, 4, 0)
    assert lamp.read(0x04, 4) == 1
    lamp.write(0x04, 4, 1)
    assert lamp.read(0x04, 4) == 0


def test_write_one_to_set() -> None:
    lamp = Lamp()
    lamp.write(0x04, 4, 2)
    lamp.write(0x04, 4, 0)
    assert lamp.read(0x04, 4) == 2


def test_read_to_clear() -> None:
    lamp = Lamp()
    lamp.STATUS = lamp.STATUS_SEEN
    assert [lamp.read(0x04, 4), lamp.read(0x04, 4)] == [4, 0]


def test_a_write_only_field_reads_as_zero_but_reaches_the_device() -> None:
    lamp = Lamp()
    lamp.write(0x04, 4, lamp.STATUS_KEY)
    assert lamp.read(0x04, 4) == 0
    assert lamp.STATUS == lamp.STATUS_KEY


def test_a_narrow_write_leaves_other_write_one_bits_alone() -> None:
    lamp = Lamp()
    lamp.STATUS = lamp.STATUS_BURNT
    lamp.write(0x05, 1, 0xFF)
    assert lamp.STATUS == lamp.STATUS_BURNT


def test_reads_and_writes_at_one_offset_are_two_registers() -> None:
    lamp = Lamp()
    lamp.write(0x08, 4, 5)
    assert lamp.log == [("ask", 5)]
    assert lamp.read(0x08, 4) == 42


def test_setting_an_unmodelled_bit_is_kept_and_counted_by_name() -> None:
    lamp = Lamp()
    lamp.write(0x00, 4, lamp.CONTROL_BLINK)
    lamp.write(0x00, 4, lamp.CONTROL_BLINK)
    assert lamp.CONTROL & lamp.CONTROL_BLINK
    assert lamp.unmodelled == {"CONTROL.BLINK": 2}


def test_a_hole_reads_as_the_hole_value_and_is_counted() -> None:
    class Port(RegisterDevice, width=8, hole=0xFF):
        A = Register(0, "A")

    port = Port()
    port.write(3, 1, 1)
    assert port.read(3, 1) == 0xFF
    assert port.read(0, 2) == 0xFF00
    assert port.unmodelled == {"+0x3": 2, "+0x1": 1}


def test_what_is_counted_is_bounded() -> None:
    lamp = Lamp()
    for offset in range(0x100, 0x100 + 4 * MAX_NOTED):
        lamp.read(offset, 1)
    assert len(lamp.unmodelled) == MAX_NOTED


def test_a_size_that_is_not_permitted_is_refused() -> None:
    class Words(RegisterDevice, sizes=(4,)):
        A = Register(0, "A", reset=0x1234_5678)

    words = Words()
    words.write(0, 1, 0)
    assert (words.read(0, 2), words.read(0, 4)) == (0, 0x1234_5678)
    assert words.unmodelled == {"write of 1 bytes": 1, "read of 2 bytes": 1}


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [
        (0x10, 2, 0x0007),
        (0x10, 4, 0x0007_0007),
        (0x10, 8, 0x0007_0007_0007_0007),
        (0x11, 1, 0),
        (0x11, 2, 0x0700),
        (0x13, 4, 0x0700_0700),
        (0x0C, 4, 0),
        (0x18, 1, 0xDD),
        (0x19, 2, 0xBBCC),
        (0x1A, 1, 0xBB),
    ],
)
def test_reads_of_any_shape(offset: int, size: int, expected: int) -> None:
    assert Lamp().read(offset, size) == expected


def test_a_wide_write_reaches_each_register_once_in_order() -> None:
    lamp = Lamp()
    lamp.write(0x10, 8, 0x4444_3333_2222_1111)
    assert lamp.log == [
        ("level", 0, 0x1111),
        ("level", 1, 0x2222),
        ("level", 2, 0x3333),
        ("level", 3, 0x4444),
    ]


def test_an_unaligned_write_merges_at_both_ends() -> None:
    lamp = Lamp()
    lamp.write(0x11, 2, 0xAABB)
    assert lamp.LEVELS == [0xBB07, 0x00AA, 7, 7]


def test_a_narrow_write_to_a_computed_register_merges_with_what_it_reads() -> None:
    lamp = Lamp()
    lamp.write(0x19, 1, 0x11)
    lamp.write(0x18, 2, 0x2222)
    assert lamp.log == [("computed", 0xAABB_11DD), ("computed", 0xAABB_2222)]


def test_a_write_is_cut_to_the_register() -> None:
    lamp = Lamp()
    lamp.write(0x0C, 4, 0xFFFF_FF12)
    assert lamp.SMALL == 0x12


def test_the_padding_behind_a_register_is_no_part_of_it() -> None:
    lamp = Lamp()
    lamp.write(0x0D, 1, 0xFF)
    assert (lamp.SMALL, lamp.read(0x0D, 1)) == (0, 0)


def test_a_bank_is_seen_while_selected_in_front_of_the_others() -> None:
    lamp = Lamp()
    lamp.select("other")
    lamp.write(0x00, 4, 99)
    assert (lamp.INDEXED, lamp.CONTROL, lamp.read(0x08, 4)) == (99, 0x8000_0001, 42)
    lamp.select("")
    assert lamp.read(0x00, 4) == 0x8000_0001


def test_a_bank_can_be_reached_without_being_selected() -> None:
    lamp = Lamp()
    lamp.write_bank("other", 0, 4, 5)
    assert lamp.read_bank("other", 0, 4) == 5
    assert lamp.read_bank("other", 8, 4) == 0, "the registers without a bank are not part of it"


def test_a_stride_spreads_the_registers() -> None:
    class Port(RegisterDevice, width=8):
        A = Register(0, "A")
        B = Register(1, "B", reset=5)

    port = Port(stride=4)
    assert [port.read(4, size) for size in (1, 2, 4)] == [5, 5, 5]
    port.write(0, 8, 0x0000_0022_0000_0011)
    assert (port.A, port.B) == (0x11, 0x22)


def test_a_subclass_overrides_methods_registers_and_adds_its_own() -> None:
    class Torch(Lamp):
        ANSWER = Register(0x08, "Answer", RO, reset=43)
        EXTRA = Register(0x20, "Extra", reset=1)

        def _ask(self, value: int) -> None:
            self.log.append("override")

    torch = Torch()
    torch.write(0x08, 4, 0)
    assert torch.log == ["override"]
    assert (torch.read(0x08, 4), torch.read(0x20, 4), Lamp().read(0x08, 4)) == (43, 1, 42)


def test_fields_shift_and_mask() -> None:
    assert Lamp.CONTROL_COLOUR == 0xF0
    assert Lamp.CONTROL_COLOUR.of(0x1A3) == 0xA
    assert Lamp.CONTROL_COLOUR.put(0x1A) == 0xA0


@pytest.mark.parametrize(
    ("offset", "value", "write", "expected"),
    [
        (0x04, 0xF, False, ("STATUS", {"BURNT": 1, "SET": 1, "SEEN": 1})),
        (0x00, 0xF1, True, ("CONTROL", {"ON": 1, "COLOUR": 15, "BLINK": 0, "FACTORY": 0})),
        (0x08, 1, True, ("QUESTION", {})),
        (0x08, 1, False, ("ANSWER", {})),
        (0x14, 1, True, ("LEVELS[2]", {})),
        (0x15, 1, True, ("LEVELS[2]+1", {})),
        (0x80, 1, True, ("+0x80", {})),
    ],
)
def test_a_trace_can_name_every_access(
    offset: int, value: int, write: bool, expected: object
) -> None:
    assert Lamp().decode(offset, value, write) == expected


def test_the_reference_page_lists_registers_and_fields() -> None:
    page = describe(Lamp)
    assert "| 0x10 + 0x2 n | LEVELS[0..3] | 16 | RW | 0x7 | Levels |" in page
    assert "| 7:4 | COLOUR | RW | colour |" in page
    assert "| other: 0x0 | INDEXED | 32 | RW | 0x0 | Indexed |" in page


def test_state_is_immutable_and_independent_of_the_device() -> None:
    lamp = Lamp()
    lamp._queue.append(5)
    lamp.select("other")
    state = lamp.save()
    hash(state)
    lamp.LEVELS[0] = 1
    lamp._queue.append(6)
    other = Lamp()
    other.load(state)
    assert other.save() == state
    assert (other.LEVELS[0], other._queue) == (7, [5])
    other.write(0x00, 4, 3)
    assert other.INDEXED == 3


@pytest.mark.parametrize(
    "state",
    [
        State("Torch", 1, ()),
        State("Lamp", 2, ()),
        State("Lamp", 1, ()),
        State("Lamp", 1, (*Lamp().save().values, ("more", 1))),
    ],
)
def test_state_of_another_device_or_version_is_refused(state: State) -> None:
    with pytest.raises(UsageError):
        Lamp().load(state)


class Plain(RegisterDevice):
    """Nothing but bytes: the model of `test_any_access_behaves_like_memory`."""

    WORDS = RegisterArray(0, 2, "Words")
    HALVES = RegisterArray(8, 2, "Halves", width=16)
    BYTES = RegisterArray(12, 3, "Bytes", width=8)
    LONG = Register(16, "Long", width=64)


ACCESSES = st.tuples(
    st.integers(0, 32),
    st.sampled_from((1, 2, 4, 8)),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)


@given(st.lists(ACCESSES))
def test_any_access_behaves_like_memory(accesses: list[tuple[int, int, int, bool]]) -> None:
    device = Plain()
    model = bytearray(48)
    for offset, size, value, write in accesses:
        if write:
            written = value & ((1 << 8 * size) - 1)
            device.write(offset, size, written)
            model[offset : offset + size] = written.to_bytes(size, "little")
            model[15] = 0
            model[24:] = bytes(24)
        else:
            expected = int.from_bytes(model[offset : offset + size], "little")
            assert device.read(offset, size) == expected


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 9), st.integers(0, 2**72))))
def test_no_access_raises_and_reads_fit(accesses: list[tuple[int, int, int]]) -> None:
    lamp = Lamp()
    for offset, size, value in accesses:
        lamp.write(offset, size, value & ((1 << 8 * size) - 1))
        assert 0 <= lamp.read(offset, size) < 1 << 8 * size


def test_the_example_in_the_documentation_works() -> None:
    source = (registers.__doc__ or "").split("::\n", 1)[1].split("\nOn the class", 1)[0]
    namespace: dict[str, Any] = {}
    exec(
        "from __future__ import annotations\nfrom vmm.devices.registers import *\n"
        + textwrap.dedent(source),
        namespace,
    )
    irq = Wire()
    rings: list[int] = []
    doorbell = namespace["Doorbell"](irq=irq, bell=rings.append)
    doorbell.write(0x00, 4, 1)
    for number in range(10):
        doorbell.write(0x08, 4, number)
    assert rings == list(range(10))
    assert (doorbell.read(0x08, 4), irq.level) == (10, True)
    doorbell.write(0x04, 4, 1)
    assert not irq.level
    assert doorbell.decode(0x00, 0x21, True) == ("CONTROL", {"ENABLE": 1, "TONE": 2})
