"""The serial port of the PC: National Semiconductor PC16550D, compatible with the 8250 and 16450.

Characters take no time here. The transmitter is always empty again when the guest looks, and the
receiver's time-out (four character times without a character) has always passed already, so that a
FIFO below its trigger level asks for attention at once. Word length, parity and divisor are kept,
but a character is always eight bits: a guest that never programs the port is still heard.
"""

from __future__ import annotations

from vmm.devices.device import internal
from vmm.devices.registers import RO, UNMODELLED, WO, Register
from vmm.devices.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

FIFO_DEPTH: Final = 16
TRIGGER_LEVELS: Final = (1, 4, 8, 14)

# IIR[3:0]: why the port interrupts, highest priority first.
ID_LINE_STATUS: Final = 0b0110
ID_DATA_AVAILABLE: Final = 0b0100
ID_TIMEOUT: Final = 0b1100
ID_THR_EMPTY: Final = 0b0010
ID_MODEM_STATUS: Final = 0b0000
ID_NONE: Final = 0b0001

# The bank that LCR.DLAB shows in front of RBR, THR and IER.
DIVISOR_LATCH: Final = "DLAB"


class Ns16550(Uart, width=8):
    """A PC16550D: eight byte-wide registers on ports, or spread out in memory.

    Args:
        irq: the INTR output.
        sink: takes what the guest sends, byte by byte.
        on_room: called when the guest has emptied the receiver, so that `receive` takes more.
        stride: distance of the registers in bytes; 1 on ports, often 4 in memory.
    """

    SIZE: ClassVar[int] = 8  # bytes of address space, times the stride

    RBR = Register(0, "Receiver Buffer", RO)
    THR = Register(0, "Transmitter Holding", WO)
    DLL = Register(0, "Divisor Latch (LS)", bank=DIVISOR_LATCH)
    DLM = Register(1, "Divisor Latch (MS)", bank=DIVISOR_LATCH)

    IER = Register(1, "Interrupt Enable")
    IER_EDSSI = IER.bit(3, "modem status interrupt")
    IER_ELSI = IER.bit(2, "receiver line status interrupt")
    IER_ETBEI = IER.bit(1, "transmitter holding register empty interrupt")
    IER_ERBFI = IER.bit(0, "received data available and time-out interrupts")
    IER_ALL = IER_EDSSI | IER_ELSI | IER_ETBEI | IER_ERBFI

    IIR = Register(2, "Interrupt Identification", RO)
    IIR_FIFO = IIR.bits(7, 6, "both set while the FIFOs are enabled")
    IIR_ID = IIR.bits(3, 1, "the pending interrupt of highest priority")
    IIR_NONE = IIR.bit(0, "no interrupt is pending")

    FCR = Register(2, "FIFO Control", WO)
    FCR_RT = FCR.bits(7, 6, "receiver trigger level: 1, 4, 8 or 14 characters")
    FCR_DMA = FCR.bit(3, "DMA mode of the RXRDY and TXRDY pins", UNMODELLED)
    FCR_XFR = FCR.bit(2, "transmitter FIFO reset")
    FCR_RFR = FCR.bit(1, "receiver FIFO reset")
    FCR_FE = FCR.bit(0, "FIFO enable; the other bits count only if it is set")

    LCR = Register(3, "Line Control")
    LCR_DLAB = LCR.bit(7, "divisor latch access")
    LCR_SB = LCR.bit(6, "set break; nobody hears it but the receiver, in loopback")
    LCR_SP = LCR.bit(5, "stick parity")
    LCR_EPS = LCR.bit(4, "even parity")
    LCR_PEN = LCR.bit(3, "parity enable")
    LCR_STB = LCR.bit(2, "two stop bits")
    LCR_WLS = LCR.bits(1, 0, "word length: 5 to 8 bits")

    MCR = Register(4, "Modem Control")
    MCR_LOOP = MCR.bit(4, "the transmitter feeds the receiver, the outputs the modem inputs")
    MCR_OUT2 = MCR.bit(3, "OUT2")
    MCR_OUT1 = MCR.bit(2, "OUT1")
    MCR_RTS = MCR.bit(1, "request to send")
    MCR_DTR = MCR.bit(0, "data terminal ready")

    LSR = Register(5, "Line Status", RO, reset=0x60)
    LSR_ERF = LSR.bit(7, "a character in the FIFO has an error or is a break")
    LSR_TEMT = LSR.bit(6, "transmitter empty")
    LSR_THRE = LSR.bit(5, "transmitter holding register empty")
    LSR_BI = LSR.bit(4, "break; cleared by this read")
    LSR_FE = LSR.bit(3, "framing error; cleared by this read")
    LSR_PE = LSR.bit(2, "parity error; cleared by this read")
    LSR_OE = LSR.bit(1, "overrun: a character was lost; cleared by this read")
    LSR_DR = LSR.bit(0, "data ready")
    LSR_ERRORS = LSR_BI | LSR_FE | LSR_PE | LSR_OE

    MSR = Register(6, "Modem Status", RO)
    MSR_DCD = MSR.bit(7, "data carrier detect")
    MSR_RI = MSR.bit(6, "ring indicator")
    MSR_DSR = MSR.bit(5, "data set ready")
    MSR_CTS = MSR.bit(4, "clear to send")
    MSR_DDCD = MSR.bit(3, "DCD changed; cleared by this read")
    MSR_TERI = MSR.bit(2, "RI ended; cleared by this read")
    MSR_DDSR = MSR.bit(1, "DSR changed; cleared by this read")
    MSR_DCTS = MSR.bit(0, "CTS changed; cleared by this read")
    MSR_DELTAS = MSR_DDCD | MSR_TERI | MSR_DDSR | MSR_DCTS

    SCR = Register(7, "Scratch")

    STATE_VERSION: ClassVar[int] = 2

    # Characters received, each with its LSR error bits in bits 15:8.
    _received: list[int] = internal([])
    _fifo_enabled = internal(False)
    _trigger = internal(1)
    _thr_empty_pending = internal(False)
    _breaking = internal(False)
    _modem_inputs = internal(0)

    # ---- The host's side ----

    def room(self) -> int:
        if self.MCR & self.MCR_LOOP:
            return 0
        return (FIFO_DEPTH if self._fifo_enabled else 1) - len(self._received)

    def receive_break(self) -> None:
        if self.room() > 0:
            self._push(self.LSR_BI << 8)

    def set_modem_inputs(self, *, cts: bool, dsr: bool, ri: bool, dcd: bool) -> None:
        self._modem_inputs = (
            cts * self.MSR_CTS | dsr * self.MSR_DSR | ri * self.MSR_RI | dcd * self.MSR_DCD
        )
        self._update_modem_status()

    def reset(self) -> None:
        super().reset()
        # A null modem is connected and ready; that is no change that the guest need hear of.
        self._modem_inputs = self.MSR_CTS | self.MSR_DSR | self.MSR_DCD
        self.MSR = self._modem_inputs
        self.irq(False)

    # ---- Registers ----

    @THR.on_write
    def _transmit(self, value: int) -> None:
        if self.MCR & self.MCR_LOOP:
            self._loop_back(value)
        else:
            self._send(value)
        if self.IER & self.IER_ETBEI:
            self._thr_empty_pending = True
            self._update_irq()

    @RBR.on_read
    def _take(self) -> int:
        received = self._received
        if not received:
            return 0
        byte = received.pop(0) & 0xFF
        if received:
            self._show_errors()
        else:
            self._emptied()
        self._update_irq()
        return byte

    @IER.on_write
    def _write_ier(self, value: int) -> None:
        # Enabling the interrupt reports an empty THR anew, which drivers use to get started.
        if value & ~self.IER & self.IER_ETBEI:
            self._thr_empty_pending = True
        self.IER = value & self.IER_ALL
        self._update_irq()

    @IIR.on_read
    def _read_iir(self) -> int:
        identification = self._identify()
        if identification == ID_THR_EMPTY:
            self._thr_empty_pending = False
            self._update_irq()
        return identification | (self.IIR_FIFO if self._fifo_enabled else 0)

    @FCR.on_write
    def _write_fcr(self, value: int) -> None:
        enable = bool(value & self.FCR_FE)
        drop = enable != self._fifo_enabled or (enable and value & self.FCR_RFR)
        self._fifo_enabled = enable
        self._trigger = TRIGGER_LEVELS[self.FCR_RT.of(value)] if enable else 1
        if enable and value & self.FCR_DMA:
            self.note("FCR.DMA")
        if drop:
            self._received.clear()
            self._emptied()
        self._update_irq()

    @LCR.after_write
    def _write_lcr(self) -> None:
        self.select(DIVISOR_LATCH if self.LCR & self.LCR_DLAB else "")
        before, self._breaking = self._breaking, bool(self.LCR & self.LCR_SB)
        if self._breaking and not before and self.MCR & self.MCR_LOOP:
            self._loop_back(self.LSR_BI << 8)
            self._update_irq()

    @MCR.after_write
    def _update_modem_status(self) -> None:
        if self.MCR & self.MCR_LOOP:
            inputs = (
                self.MCR_RTS.of(self.MCR) * self.MSR_CTS
                | self.MCR_DTR.of(self.MCR) * self.MSR_DSR
                | self.MCR_OUT1.of(self.MCR) * self.MSR_RI
                | self.MCR_OUT2.of(self.MCR) * self.MSR_DCD
            )
        else:
            inputs = self._modem_inputs
            if not self._received:
                self.on_room()
        changed = self.MSR ^ inputs
        deltas = (changed & (self.MSR_DCD | self.MSR_DSR | self.MSR_CTS)) >> 4
        if changed & self.MSR & self.MSR_RI:
            deltas |= self.MSR_TERI
        self.MSR = self.MSR & self.MSR_DELTAS | deltas | inputs
        self._update_irq()

    @LSR.on_read
    def _read_lsr(self) -> int:
        value = self.LSR
        if value & (self.LSR_ERRORS | self.LSR_ERF):
            self.LSR = value & ~self.LSR_ERRORS
            if not any(character >> 8 for character in self._received):
                self.LSR &= ~self.LSR_ERF
            self._update_irq()
        return value

    @MSR.on_read
    def _read_msr(self) -> int:
        value = self.MSR
        self.MSR = value & ~self.MSR_DELTAS
        self._update_irq()
        return value

    # ---- Inside ----

    def _push(self, character: int) -> None:
        self._received.append(character)
        self.LSR |= self.LSR_DR
        if character >> 8:
            if self._fifo_enabled:
                self.LSR |= self.LSR_ERF
            self._show_errors()
        self._update_irq()

    def _loop_back(self, character: int) -> None:
        if len(self._received) < (FIFO_DEPTH if self._fifo_enabled else 1):
            self._push(character)
            return
        self.LSR |= self.LSR_OE
        # With FIFOs the shift register is overwritten and they are kept; without, the new
        # character replaces the one that was not read in time.
        if not self._fifo_enabled:
            self._received[0] = character
            self._show_errors()
        self._update_irq()

    def _show_errors(self) -> None:
        """Reveal the errors of the character that the guest reads next."""
        self.LSR |= self._received[0] >> 8
        self._received[0] &= 0xFF

    def _emptied(self) -> None:
        self.LSR &= ~(self.LSR_DR | self.LSR_ERF)
        if not self.MCR & self.MCR_LOOP:
            self.on_room()

    def _identify(self) -> int:
        enabled = self.IER
        if enabled & self.IER_ELSI and self.LSR & self.LSR_ERRORS:
            return ID_LINE_STATUS
        if enabled & self.IER_ERBFI and self._received:
            full = len(self._received) >= self._trigger
            return ID_DATA_AVAILABLE if full else ID_TIMEOUT
        if enabled & self.IER_ETBEI and self._thr_empty_pending:
            return ID_THR_EMPTY
        if enabled & self.IER_EDSSI and self.MSR & self.MSR_DELTAS:
            return ID_MODEM_STATUS
        return ID_NONE

    def _update_irq(self) -> None:
        self.irq(self._identify() != ID_NONE)
