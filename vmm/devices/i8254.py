"""The 8254 interval timer of a PC, and port 0x61, through which the guest reaches its channel 2.

Nothing ticks here: counts and outputs follow from the time since a channel was started. Only
channel 0 sets an alarm, for the next rising edge of its output, which is IRQ 0. Deviations: a count
is loaded as it is written, not with the clock's next pulse; and the output of channel 0 falls just
before it rises.
"""

from __future__ import annotations

from vmm.devices.device import Device, OutputPin, internal
from vmm.devices.registers import RO, WO, Register, RegisterArray, RegisterDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

    from vmm.lines import Clock, InterruptLine

HZ: Final = 1_193_182
SECOND: Final = 1_000_000_000

# A guest may ask for an interrupt every microsecond; the VMM must not do nothing else for ever.
MIN_PERIOD_NS: Final = 100_000

# The refresh toggle of port 0x61 turns over with each DRAM refresh of the first ATs.
REFRESH_NS: Final = 15_085

LOW_BYTE: Final = 1
HIGH_BYTE: Final = 2
BOTH_BYTES: Final = 3

TERMINAL_COUNT: Final = 0
ONE_SHOT: Final = 1
RATE_GENERATOR: Final = 2
SQUARE_WAVE: Final = 3
SOFTWARE_STROBE: Final = 4
HARDWARE_STROBE: Final = 5

# Modes that wait for a rising edge of the gate, and those that load their count again and again.
TRIGGERED: Final = (ONE_SHOT, HARDWARE_STROBE)
PERIODIC: Final = (RATE_GENERATOR, SQUARE_WAVE)


class Channel(Device):
    """One counter with its gate and output."""

    STATE_VERSION: ClassVar[int] = 2

    gate = internal(True)

    _mode = internal(0)
    _mode_written = internal(0)
    _bcd = internal(False)
    _access = internal(BOTH_BYTES)
    _loaded = internal(False)  # a count was written since the control word
    _reload = internal(0x1_0000)  # the count written last
    _count = internal(0x1_0000)  # the count in use
    _null = internal(True)  # the count written last is not in use yet
    _switch = internal(0)  # after so many ticks it will be; 0 if it does not wait for that
    _counting = internal(False)
    _ticks = internal(0)  # counted before _origin
    _origin = internal(0)  # pulse of the clock at which counting was started or resumed
    _written_low: int | None = internal(None)
    _read_high = internal(False)
    _latched_count: int | None = internal(None)
    _latched_high = internal(False)
    _latched_status: int | None = internal(None)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__()

    def set_gate(self, level: bool) -> None:
        """Drive the gate input."""
        if level == self.gate:
            return
        self.gate = level
        if not level:
            if self._mode not in TRIGGERED:
                self._stop()
        elif not self._loaded:
            return
        elif self._mode in TRIGGERED or self._mode in PERIODIC:
            self._start()
        else:
            self._origin, self._counting = self._pulses(), True

    def control(self, access: int, mode: int, bcd: bool) -> None:
        """Take a control word: the counter stops until a count is written."""
        self._access = access
        self._mode = mode & 3 if mode > HARDWARE_STROBE else mode
        self._mode_written = mode
        self._bcd = bcd
        self._loaded = self._counting = self._read_high = False
        self._null = True
        self._ticks = self._switch = 0
        self._written_low = self._latched_count = self._latched_status = None

    def latch_count(self) -> None:
        """Keep the count for the next reads; without effect while it is kept already."""
        if self._latched_count is None:
            self._latched_count = self._value()
            self._latched_high = False

    def latch_status(self) -> None:
        """Keep the status for the next read; without effect while it is kept already."""
        if self._latched_status is None:
            self._settle()
            self._latched_status = (
                self.output() << 7
                | self._null << 6
                | self._access << 4
                | self._mode_written << 1
                | self._bcd
            )

    def write(self, byte: int) -> None:
        """Take a byte of a count; the last one starts the counter, in the modes that do so."""
        if self._access == LOW_BYTE:
            self._load(byte)
        elif self._access == HIGH_BYTE:
            self._load(byte << 8)
        elif self._written_low is None:
            self._written_low = byte
            if self._mode == TERMINAL_COUNT:
                # The output falls at once, and nothing is counted until the other byte comes.
                self._stop()
                self._loaded = False
        else:
            low, self._written_low = self._written_low, None
            self._load(byte << 8 | low)

    def read(self) -> int:
        """Return the next byte: of the latched status, else of the latched or current count."""
        if self._latched_status is not None:
            status, self._latched_status = self._latched_status, None
            return status
        high = self._access == HIGH_BYTE
        if self._latched_count is None:
            count = self._value()
            if self._access == BOTH_BYTES:
                high, self._read_high = self._read_high, not self._read_high
        else:
            count = self._latched_count
            if self._access == BOTH_BYTES:
                high, self._latched_high = self._latched_high, True
            if high or self._access != BOTH_BYTES:
                self._latched_count = None
        return count >> 8 if high else count & 0xFF

    def output(self) -> bool:
        """Return the level of OUT now."""
        self._settle()
        mode, count, ticks = self._mode, self._count, self._elapsed()
        if mode == TERMINAL_COUNT:
            return self._loaded and ticks >= count
        if not self._counting and mode != SOFTWARE_STROBE:
            return True
        if mode == ONE_SHOT:
            return ticks >= count
        if mode == RATE_GENERATOR:
            return ticks % count != count - 1
        if mode == SQUARE_WAVE:
            return ticks % count < (count + 1) // 2
        return not self._loaded or ticks != count

    def next_rise(self) -> int | None:
        """Return when OUT will rise next, in ns of the clock; None if it will not by itself."""
        if not self._counting:
            return None
        self._settle()
        count, ticks = self._count, self._elapsed()
        if self._switch:
            # In the middle of a square wave, the low half of the new count comes first.
            target = self._switch + (self._reload // 2 if self._switch % count else 0)
        elif self._mode in PERIODIC:
            target = (ticks // count + 1) * count
        else:
            target = count + (self._mode >= SOFTWARE_STROBE)
            if ticks >= target:
                return None
        return -(-(self._origin + target - self._ticks) * SECOND // HZ)

    # ---- Inside ----

    def _load(self, word: int) -> None:
        full = 10_000 if self._bcd else 0x1_0000
        self._settle()
        self._reload = (_from_bcd(word) if self._bcd else word) or full
        first = not self._loaded
        self._loaded = self._null = True
        if (first and self._mode in PERIODIC) or self._mode in (TERMINAL_COUNT, SOFTWARE_STROBE):
            self._start()
            self._counting = self.gate
        elif self._counting and self._mode in PERIODIC:
            self._switch = self._next_load()
        # Else it waits for the gate.

    def _start(self) -> None:
        self._count = self._reload
        self._ticks, self._origin = 0, self._pulses()
        self._switch = 0
        self._null = False
        self._counting = True

    def _stop(self) -> None:
        self._settle()
        self._ticks, self._counting = self._elapsed(), False

    def _next_load(self) -> int:
        """Return after how many ticks a periodic mode loads its count next.

        A square wave's is loaded for each half.
        """
        ticks, count = self._elapsed(), self._count
        begin = ticks - ticks % count
        middle = begin + (count + 1) // 2
        return middle if self._mode == SQUARE_WAVE and ticks < middle else begin + count

    def _settle(self) -> None:
        """Use the count written last, if the time for that has come."""
        if not self._switch or self._elapsed() < self._switch:
            return
        in_the_middle = self._switch % self._count != 0
        self._count = self._reload
        self._ticks -= self._switch - (self._count + 1) // 2 * in_the_middle
        self._switch = 0
        self._null = False

    def _elapsed(self) -> int:
        if not self._counting:
            return self._ticks
        return self._ticks + self._pulses() - self._origin

    def _pulses(self) -> int:
        return self._clock.now() * HZ // SECOND

    def _value(self) -> int:
        self._settle()
        count, ticks = self._count, self._elapsed()
        if self._mode == RATE_GENERATOR:
            value = count - ticks % count
        elif self._mode == SQUARE_WAVE:
            # By two from an even number, in each half; an odd count's high half goes on to 0.
            value = (count & ~1) - 2 * (ticks % count % ((count + 1) // 2))
        else:
            value = count - ticks
        return _to_bcd(value % 10_000) if self._bcd else value & 0xFFFF


class I8254(RegisterDevice, width=8):
    """The timer: a region of four ports, at 0x40.

    Args:
        irq: the output of channel 0.
        clock: the time.

    Attributes:
        channels: the three counters.
        port_61: a region of one port.
    """

    COUNTER = RegisterArray(0, 3, "Counter")
    CONTROL = Register(3, "Control Word", WO)
    CONTROL_SC = CONTROL.bits(7, 6, "counter; 3 is a read-back command")
    CONTROL_RW = CONTROL.bits(5, 4, "0 latch the count, else bytes: 1 low, 2 high, 3 both")
    CONTROL_M = CONTROL.bits(3, 1, "mode; in a read-back command, the counters")
    CONTROL_BCD = CONTROL.bit(0, "binary coded decimal")

    _deadline = internal(0)  # of the alarm, 0 if none is set

    def __init__(self, *, irq: InterruptLine, clock: Clock) -> None:
        self.irq = OutputPin(irq)
        self.channels = [Channel(clock) for _ in range(3)]
        self.port_61 = Port61(self.channels[2], clock)
        self.port_61.whole = self
        self._clock = clock
        self._alarm = clock.timer(self._rise)
        super().__init__()

    def parts(self) -> tuple[tuple[str, Device], ...]:
        counters = ((f"counter{n}", channel) for n, channel in enumerate(self.channels))
        return (*counters, ("port_61", self.port_61))

    def reset(self) -> None:
        super().reset()
        self._alarm.cancel()
        self.irq(False)

    def loaded(self) -> None:
        self.irq(self.channels[0].output())
        if self._deadline:
            self._alarm.arm(self._deadline)
        else:
            self._alarm.cancel()

    @COUNTER.on_read
    def _read(self, index: int) -> int:
        return self.channels[index].read()

    @COUNTER.on_write
    def _write(self, index: int, value: int) -> None:
        self.channels[index].write(value)
        if index == 0:
            self._follow()

    @CONTROL.on_write
    def _control(self, value: int) -> None:
        index, access = self.CONTROL_SC.of(value), self.CONTROL_RW.of(value)
        if index == 3:
            self._read_back(access, self.CONTROL_M.of(value))
        elif access == 0:
            self.channels[index].latch_count()
        else:
            mode = self.CONTROL_M.of(value)
            self.channels[index].control(access, mode, bool(value & self.CONTROL_BCD))
            if index == 0:
                self._follow()

    def _read_back(self, omit: int, counters: int) -> None:
        for index, channel in enumerate(self.channels):
            if not counters >> index & 1:
                continue
            if not omit & 2:
                channel.latch_count()
            if not omit & 1:
                channel.latch_status()

    def _follow(self) -> None:
        """Drive IRQ 0 as the output is now, and set the alarm for its next rising edge."""
        self.irq(self.channels[0].output())
        self._set_alarm(0)

    def _rise(self) -> None:
        self.irq(False)
        self.irq(True)
        self._set_alarm(self._clock.now() + MIN_PERIOD_NS)

    def _set_alarm(self, earliest: int) -> None:
        rise = self.channels[0].next_rise()
        if rise is None:
            self._deadline = 0
            self._alarm.cancel()
        else:
            self._deadline = max(rise, earliest)
            self._alarm.arm(self._deadline)


class Port61(RegisterDevice, width=8):
    """System control port B: gate and output of channel 2, and a clock to poll."""

    PORTB = Register(0, "System Control Port B")
    PORTB_OUT2 = PORTB.bit(5, "output of channel 2", RO)
    PORTB_REFRESH = PORTB.bit(4, "turns over every 15 microseconds", RO)
    PORTB_CHECKS = PORTB.bits(3, 2, "channel check and parity check disable")
    PORTB_SPEAKER = PORTB.bit(1, "speaker data enable")
    PORTB_GATE2 = PORTB.bit(0, "gate of channel 2")

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self._set_gate()

    @PORTB.on_read
    def _read(self) -> int:
        refresh = self._clock.now() // REFRESH_NS & 1
        return (
            self.PORTB
            | self.PORTB_REFRESH.put(refresh)
            | self.PORTB_OUT2.put(self._channel.output())
        )

    @PORTB.on_write
    def _write(self, value: int) -> None:
        self.PORTB = value & (self.PORTB_CHECKS | self.PORTB_SPEAKER | self.PORTB_GATE2)
        self._set_gate()

    def _set_gate(self) -> None:
        self._channel.set_gate(bool(self.PORTB & self.PORTB_GATE2))


def _from_bcd(word: int) -> int:
    """Return the number that four decimal digits mean; digits above 9 carry over."""
    thousands, hundreds, tens, ones = (word >> shift & 0xF for shift in (12, 8, 4, 0))
    return (1000 * thousands + 100 * hundreds + 10 * tens + ones) % 10_000


def _to_bcd(number: int) -> int:
    """Return the four decimal digits of ``number``."""
    digits = (number // 1000, number // 100 % 10, number // 10 % 10, number % 10)
    return digits[0] << 12 | digits[1] << 8 | digits[2] << 4 | digits[3]
