"""From an access on the bus to the register that it means: the engine under a register map.

For the usual access, whole register at its offset, a `Decoder` builds one function the first time
and finds it in a table afterwards. All others (narrow in the middle, wide, unaligned, nowhere) are
taken apart here byte lane by byte lane, so that devices see whole registers only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Literal

    from vmm.devices.registers import Declaration, RegisterDevice

    Access = Literal["RO", "RW", "WO", "W1C", "W1S", "RC", "RESERVED", "UNMODELLED"]
    Reader = Callable[[Any], int]
    Writer = Callable[[Any, int], None]

RO: Final = "RO"  # writes are ignored
RW: Final = "RW"
WO: Final = "WO"  # reads as zero
W1C: Final = "W1C"  # writing 1 clears the bit, writing 0 leaves it
W1S: Final = "W1S"  # writing 1 sets the bit, writing 0 leaves it
RC: Final = "RC"  # cleared by being read
RESERVED: Final = "RESERVED"  # reads as zero, writes are ignored
UNMODELLED: Final = "UNMODELLED"  # kept and read back, but without effect; setting it is counted

# A guest can hit any number of places where nothing is; a device names the first so many.
MAX_NOTED: Final = 64


class Decoder:
    """The registers that are visible together, for one class and stride.

    Attributes:
        reads: size -> offset -> function that reads; filled as the guest uses them, with at most
            one entry per register and size.
        writes: the same for writes.
    """

    def __init__(
        self, device: type[RegisterDevice], registers: list[Declaration], stride: int
    ) -> None:
        """Decode ``registers``; the first of those at an offset that has the right access wins."""
        self.reads: dict[int, dict[int, Reader]] = {size: {} for size in device.sizes}
        self.writes: dict[int, dict[int, Writer]] = {size: {} for size in device.sizes}
        self._device = device
        self._stride = stride
        # Sorting is stable: what cannot be read or written comes last, all else stays in order.
        self._readable = sorted(registers, key=lambda register: register.access == WO)
        self._writable = sorted(registers, key=lambda register: register.access == RO)

    def find(self, offset: int, write: bool) -> tuple[Declaration, int, int] | None:
        """Return the register that holds ``offset``, its index in an array, and where it starts."""
        for register in self._writable if write else self._readable:
            span = register.span * self._stride
            index = (offset - register.offset * self._stride) // span
            if 0 <= index < register.count:
                return register, index, register.offset * self._stride + index * span
        return None

    def read(self, device: RegisterDevice, offset: int, size: int) -> int:
        """Read as `RegisterDevice.read` does, whatever the access looks like."""
        if size not in self.reads:
            device.note(f"read of {size} bytes")
            return self._hole(size)
        found = self.find(offset, False)
        if found and found[2] == offset and size <= found[0].span * self._stride:
            reader = self.reads[size].get(offset)
            if reader is None:
                reader = self.reads[size][offset] = self._whole_reader(*found[:2], size)
            return reader(device)
        return self._read_lanes(device, offset, size)

    def write(self, device: RegisterDevice, offset: int, size: int, value: int) -> None:
        """Write as `RegisterDevice.write` does, whatever the access looks like."""
        if size not in self.writes:
            device.note(f"write of {size} bytes")
            return
        found = self.find(offset, True)
        if found and found[2] == offset and size <= found[0].span * self._stride:
            writer = self.writes[size].get(offset)
            if writer is None:
                writer = self.writes[size][offset] = self._whole_writer(*found[:2], size)
            writer(device, value)
            return
        self._write_lanes(device, offset, size, value)

    def _hole(self, size: int) -> int:
        return int.from_bytes(bytes((self._device.hole,)) * size, "little")

    def _read_lanes(self, device: RegisterDevice, offset: int, size: int) -> int:
        result = 0
        position, end = offset, offset + size
        while position < end:
            found = self.find(position, False)
            if found is None:
                device.note(f"+{position:#x}")
                length, part = 1, self._device.hole
            else:
                register, index, start = found
                length = min(start + register.span * self._stride, end) - position
                part = self.reader(register, index)(device) >> 8 * (position - start)
                part &= (1 << 8 * length) - 1
            result |= part << 8 * (position - offset)
            position += length
        return result

    def _write_lanes(self, device: RegisterDevice, offset: int, size: int, value: int) -> None:
        position, end = offset, offset + size
        while position < end:
            found = self.find(position, True)
            if found is None:
                device.note(f"+{position:#x}")
                position += 1
                continue
            register, index, start = found
            stop = min(start + register.span * self._stride, end)
            part = value >> 8 * (position - offset) << 8 * (position - start)
            lanes = (1 << 8 * (stop - start)) - (1 << 8 * (position - start))
            whole = (1 << register.width) - 1
            if lanes & whole:
                kept = 0 if lanes & whole == whole else self._kept(device, register, index)
                self.writer(register, index)(device, kept & ~lanes | part & lanes & whole)
            position = stop

    def _whole_reader(self, register: Declaration, index: int, size: int) -> Reader:
        reader = self.reader(register, index)
        if 8 * size >= register.width:
            return reader
        mask = (1 << 8 * size) - 1
        return lambda device: reader(device) & mask

    def _whole_writer(self, register: Declaration, index: int, size: int) -> Writer:
        writer = self.writer(register, index)
        if 8 * size == register.width:
            return writer
        if 8 * size > register.width:
            whole = (1 << register.width) - 1
            return lambda device, value: writer(device, value & whole)
        lanes = (1 << 8 * size) - 1
        return lambda device, value: writer(
            device, self._kept(device, register, index) & ~lanes | value & lanes
        )

    def _kept(self, device: RegisterDevice, register: Declaration, index: int) -> int:
        """Return what to write into the bytes of a register that a narrow write does not cover."""
        mask = bits(register, RW, UNMODELLED)
        if not mask:
            return 0
        if register.reader:
            return self.reader(register, index)(device) & mask
        return _stored(device, register, index) & mask

    def reader(self, register: Declaration, index: int) -> Reader:
        """Return the function that reads the whole of a register."""
        if register.reader:
            method = getattr(self._device, register.reader)
            if not register.array:
                return method  # type: ignore[no-any-return]
            return lambda device: method(device, index)
        mask = bits(register, RO, RW, W1C, W1S, RC, UNMODELLED)
        clear = bits(register, RC)
        if not clear and register.array:
            return lambda device: _stored(device, register, index) & mask
        if not clear:
            name = register.name
            return lambda device: device.__dict__[name] & mask

        def read_and_clear(device: RegisterDevice) -> int:
            value = _stored(device, register, index)
            _store(device, register, index, value & ~clear)
            return value & mask

        return read_and_clear

    def writer(self, register: Declaration, index: int) -> Writer:
        """Return the function that writes the whole of a register."""
        if register.writer:
            method = getattr(self._device, register.writer)
            if not register.array:
                return method  # type: ignore[no-any-return]
            return lambda device, value: method(device, index, value)
        if register.access in (RO, RC, RESERVED) and not register.fields:
            return lambda device, value: None
        return self._storing_writer(register, index)

    def _storing_writer(self, register: Declaration, index: int) -> Writer:
        store = _storing(register, index)
        without_effect = [field for field in register.fields if field.access == UNMODELLED]
        after = getattr(self._device, register.after) if register.after else None
        if after is None and not without_effect:
            return store

        def write(device: RegisterDevice, value: int) -> None:
            store(device, value)
            for field in without_effect:
                if value & field:
                    device.note(f"{register.name}.{field.name}")
            if after is None:
                return
            if register.array:
                after(device, index)
            else:
                after(device)

        return write


def _storing(register: Declaration, index: int) -> Writer:
    """Return the function that stores what a write changes, each bit by its access kind."""
    plain = bits(register, RW, WO, UNMODELLED)
    clear = bits(register, W1C)
    ones = bits(register, W1S)
    name = register.name

    def store_all(device: RegisterDevice, value: int) -> None:
        device.__dict__[name] = value

    def store_some(device: RegisterDevice, value: int) -> None:
        old = _stored(device, register, index)
        new = (old & ~plain | value & (plain | ones)) & ~(value & clear)
        _store(device, register, index, new)

    everything = plain == (1 << register.width) - 1
    return store_all if everything and not register.array else store_some


def bits(register: Declaration, *kinds: Access) -> int:
    """Return the mask of the bits whose access is one of ``kinds``."""
    if not register.fields:
        return (1 << register.width) - 1 if register.access in kinds else 0
    mask = 0
    for field in register.fields:
        if field.access in kinds:
            mask |= field
    return mask


def _stored(device: RegisterDevice, register: Declaration, index: int) -> int:
    value: Any = device.__dict__[register.name]
    return value[index] if register.array else value  # type: ignore[no-any-return]


def _store(device: RegisterDevice, register: Declaration, index: int, value: int) -> None:
    if register.array:
        device.__dict__[register.name][index] = value
    else:
        device.__dict__[register.name] = value
