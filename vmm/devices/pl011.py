"""The serial port of Arm's boards: PrimeCell UART PL011 revision r1p5 (DDI 0183).

Characters take no time here: the transmit FIFO is always empty again when the guest looks, and
the receive time-out (32 bit periods without a character) has passed as soon as the host has given
what it has. Deviation from the manual, for guests that rely on what firmware would have done:
UARTEN, TXE and RXE are kept but need not be set.
"""

from __future__ import annotations

from vmm.devices.device import internal
from vmm.devices.registers import RO, UNMODELLED, WO, Register, RegisterArray
from vmm.devices.uart import Uart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final

# From revision r1p5 on; before, it was 16.
FIFO_DEPTH: Final = 32

# IFLS.RXIFLSEL: 1/8, 1/4, 1/2, 3/4 and 7/8 of the depth; the rest is reserved.
RECEIVE_TRIGGERS: Final = (4, 8, 16, 24, 28, 28, 28, 28)

# Part 0x011, designer 0x41 (Arm), revision 3 (r1p5), configuration 0; the PrimeCell's signature.
PERIPHERAL_ID: Final = (0x11, 0x10, 0x34, 0x00)
PRIMECELL_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)


class Pl011(Uart, width=16, span=4):
    """A PL011; register names are the manual's without the prefix UART.

    Args:
        irq: UARTINTR, the combined interrupt.
        sink: takes what the guest sends, byte by byte.
        on_room: called when the guest has emptied the receiver, so that `receive` takes more.
    """

    SIZE: ClassVar[int] = 0x1000

    DR = Register(0x000, "Data, received", RO)
    DR_OE = DR.bit(11, "overrun: a character before this one was lost")
    DR_BE = DR.bit(10, "break")
    DR_PE = DR.bit(9, "parity error")
    DR_FE = DR.bit(8, "framing error")
    DR_DATA = DR.bits(7, 0, "the character")
    TDR = Register(0x000, "Data, to transmit", WO)
    RSR = Register(0x004, "Receive Status", RO)
    RSR_OE = RSR.bit(3, "overrun; until cleared")
    RSR_BE = RSR.bit(2, "break")
    RSR_PE = RSR.bit(1, "parity error")
    RSR_FE = RSR.bit(0, "framing error")
    ECR = Register(0x004, "Error Clear: any write clears RSR", WO)

    FR = Register(0x018, "Flag", RO)
    FR_RI = FR.bit(8, "ring indicator")
    FR_TXFE = FR.bit(7, "transmit FIFO empty")
    FR_RXFF = FR.bit(6, "receive FIFO full")
    FR_TXFF = FR.bit(5, "transmit FIFO full")
    FR_RXFE = FR.bit(4, "receive FIFO empty")
    FR_BUSY = FR.bit(3, "transmitting")
    FR_DCD = FR.bit(2, "data carrier detect")
    FR_DSR = FR.bit(1, "data set ready")
    FR_CTS = FR.bit(0, "clear to send")

    ILPR = Register(0x020, "IrDA Low-Power Counter")
    ILPR_DVSR = ILPR.bits(7, 0, "low-power divisor", UNMODELLED)
    IBRD = Register(0x024, "Integer Baud Rate")
    FBRD = Register(0x028, "Fractional Baud Rate")
    FBRD_DIVFRAC = FBRD.bits(5, 0, "fraction of the divisor, in 1/64")

    LCR_H = Register(0x02C, "Line Control")
    LCR_H_SPS = LCR_H.bit(7, "stick parity")
    LCR_H_WLEN = LCR_H.bits(6, 5, "word length: 5 to 8 bits")
    LCR_H_FEN = LCR_H.bit(4, "FIFOs enabled; else one character deep")
    LCR_H_STP2 = LCR_H.bit(3, "two stop bits")
    LCR_H_EPS = LCR_H.bit(2, "even parity")
    LCR_H_PEN = LCR_H.bit(1, "parity enable")
    LCR_H_BRK = LCR_H.bit(0, "send break; nobody hears it but the receiver, in loopback")

    CR = Register(0x030, "Control", reset=0x0300)
    CR_CTSEN = CR.bit(15, "CTS hardware flow control", UNMODELLED)
    CR_RTSEN = CR.bit(14, "RTS hardware flow control", UNMODELLED)
    CR_OUT2 = CR.bit(13, "Out2; RI in loopback")
    CR_OUT1 = CR.bit(12, "Out1; DCD in loopback")
    CR_RTS = CR.bit(11, "request to send")
    CR_DTR = CR.bit(10, "data transmit ready")
    CR_RXE = CR.bit(9, "receive enable")
    CR_TXE = CR.bit(8, "transmit enable")
    CR_LBE = CR.bit(7, "loopback: transmitter to receiver, modem outputs to inputs")
    CR_SIRLP = CR.bit(2, "IrDA low-power mode", UNMODELLED)
    CR_SIREN = CR.bit(1, "IrDA enable", UNMODELLED)
    CR_UARTEN = CR.bit(0, "UART enable")

    IFLS = Register(0x034, "Interrupt FIFO Level Select", reset=0x12)
    IFLS_RXIFLSEL = IFLS.bits(5, 3, "receive: full to 1/8, 1/4, 1/2, 3/4, 7/8")
    IFLS_TXIFLSEL = IFLS.bits(2, 0, "transmit: full to 1/8, 1/4, 1/2, 3/4, 7/8")

    IMSC = Register(0x038, "Interrupt Mask Set/Clear: 1 enables")
    IMSC_ALL = IMSC.bits(10, 0, "as in RIS")

    RIS = Register(0x03C, "Raw Interrupt Status", RO)
    RIS_OE = RIS.bit(10, "overrun error")
    RIS_BE = RIS.bit(9, "break error")
    RIS_PE = RIS.bit(8, "parity error")
    RIS_FE = RIS.bit(7, "framing error")
    RIS_RT = RIS.bit(6, "receive time-out")
    RIS_TX = RIS.bit(5, "transmit")
    RIS_RX = RIS.bit(4, "receive")
    RIS_DSRM = RIS.bit(3, "DSR changed")
    RIS_DCDM = RIS.bit(2, "DCD changed")
    RIS_CTSM = RIS.bit(1, "CTS changed")
    RIS_RIM = RIS.bit(0, "RI changed")
    MIS = Register(0x040, "Masked Interrupt Status: RIS and IMSC", RO)
    ICR = Register(0x044, "Interrupt Clear: 1 clears in RIS", WO)
    ICR_ALL = ICR.bits(10, 0, "as in RIS")

    DMACR = Register(0x048, "DMA Control")
    DMACR_DMAONERR = DMACR.bit(2, "no receive requests after an error", UNMODELLED)
    DMACR_TXDMAE = DMACR.bit(1, "transmit DMA enable", UNMODELLED)
    DMACR_RXDMAE = DMACR.bit(0, "receive DMA enable", UNMODELLED)

    PERIPHID = RegisterArray(0xFE0, 4, "Peripheral Identification", RO)
    PCELLID = RegisterArray(0xFF0, 4, "PrimeCell Identification", RO)

    STATE_VERSION: ClassVar[int] = 2

    # Characters received, as DR shows them.
    _received: list[int] = internal([])
    # A character was lost since the last one received.
    _overrun = internal(False)
    _breaking = internal(False)
    _modem_inputs = internal(0)

    # ---- The host's side ----

    def room(self) -> int:
        if self.CR & self.CR_LBE:
            return 0
        return max(self._depth() - len(self._received), 0)

    def receive_break(self) -> None:
        if self.room():
            self.RIS |= self.RIS_BE
            self._push(self.DR_BE)

    def set_modem_inputs(self, *, cts: bool, dsr: bool, ri: bool, dcd: bool) -> None:
        self._modem_inputs = (
            cts * self.FR_CTS | dsr * self.FR_DSR | ri * self.FR_RI | dcd * self.FR_DCD
        )
        self._update_modem_status()

    def reset(self) -> None:
        super().reset()
        # A null modem is connected and ready; that is no change that the guest need hear of.
        self._modem_inputs = self.FR_CTS | self.FR_DSR | self.FR_DCD
        self.FR = self.FR_TXFE | self.FR_RXFE | self._modem_inputs
        self.irq(False)

    # ---- Registers ----

    @TDR.on_write
    def _transmit(self, value: int) -> None:
        if self.CR & self.CR_LBE:
            self._loop_back(value & 0xFF)
        else:
            self._send(value & 0xFF)
        if not self.RIS & self.RIS_TX:
            self.RIS |= self.RIS_TX
            self._update_irq()

    @DR.on_read
    def _take(self) -> int:
        received = self._received
        if not received:
            return 0
        character = received.pop(0)
        self.RSR = self.RSR & self.RSR_OE | character >> 8
        if len(received) < self._trigger():
            self.RIS &= ~self.RIS_RX
        if not received:
            self.RIS &= ~self.RIS_RT
            if not self.CR & self.CR_LBE:
                self.on_room()
        self._update_levels()
        return character

    @ECR.on_write
    def _clear_errors(self, _value: int) -> None:
        self.RSR = 0

    @LCR_H.after_write
    def _line_changed(self) -> None:
        before, self._breaking = self._breaking, bool(self.LCR_H & self.LCR_H_BRK)
        if self._breaking and not before and self.CR & self.CR_LBE:
            self.RIS |= self.RIS_BE
            self._loop_back(self.DR_BE)
        self._update_levels()

    def _update_levels(self) -> None:
        """Show how full the receiver is; what it holds survives a change of FEN."""
        count = len(self._received)
        self.FR &= ~(self.FR_RXFE | self.FR_RXFF)
        if not count:
            self.FR |= self.FR_RXFE
        elif count >= self._depth():
            self.FR |= self.FR_RXFF
        self._update_irq()

    @CR.after_write
    def _update_modem_status(self) -> None:
        if self.CR & self.CR_LBE:
            inputs = (
                self.CR_OUT2.of(self.CR) * self.FR_RI
                | self.CR_OUT1.of(self.CR) * self.FR_DCD
                | self.CR_RTS.of(self.CR) * self.FR_CTS
                | self.CR_DTR.of(self.CR) * self.FR_DSR
            )
        else:
            inputs = self._modem_inputs
            if not self._received:
                self.on_room()
        all_inputs = self.FR_RI | self.FR_DCD | self.FR_DSR | self.FR_CTS
        changed = (self.FR ^ inputs) & all_inputs
        self.FR = self.FR & ~all_inputs | inputs
        self.RIS |= (
            self.FR_RI.of(changed) * self.RIS_RIM
            | self.FR_DCD.of(changed) * self.RIS_DCDM
            | self.FR_DSR.of(changed) * self.RIS_DSRM
            | self.FR_CTS.of(changed) * self.RIS_CTSM
        )
        self._update_irq()

    @MIS.on_read
    def _masked_status(self) -> int:
        return self.RIS & self.IMSC

    @ICR.on_write
    def _clear_interrupts(self, value: int) -> None:
        self.RIS &= ~value
        self._update_irq()

    @PERIPHID.on_read
    def _peripheral_id(self, index: int) -> int:
        return PERIPHERAL_ID[index]

    @PCELLID.on_read
    def _primecell_id(self, index: int) -> int:
        return PRIMECELL_ID[index]

    # ---- Inside ----

    def _depth(self) -> int:
        return FIFO_DEPTH if self.LCR_H & self.LCR_H_FEN else 1

    def _trigger(self) -> int:
        if not self.LCR_H & self.LCR_H_FEN:
            return 1
        return RECEIVE_TRIGGERS[self.IFLS_RXIFLSEL.of(self.IFLS)]

    def _push(self, character: int) -> None:
        # 2.4.2: the overrun is told with the first character for which there is room again.
        self._received.append(character | (self.DR_OE if self._overrun else 0))
        self._overrun = False
        if len(self._received) >= self._trigger():
            self.RIS |= self.RIS_RX
        if self.LCR_H & self.LCR_H_FEN:
            self.RIS |= self.RIS_RT
        self._update_levels()

    def _loop_back(self, character: int) -> None:
        if len(self._received) < self._depth():
            self._push(character)
            return
        self._overrun = True
        self.RSR |= self.RSR_OE
        self.RIS |= self.RIS_OE
        self._update_irq()

    @IMSC.after_write
    def _update_irq(self) -> None:
        self.irq(self.RIS & self.IMSC != 0)
