"""A vCPU: the loop around KVM_RUN, and how other threads get its attention.

One byte decides when the loop looks up: ``immediate_exit`` of the page shared with the kernel.
Whoever wants the vCPU's attention leaves word what for, sets the byte, and signals the thread; the
kernel returns EINTR whether the signal came before, during or after the entry to KVM_RUN. It first
completes an access that was being answered, so that afterwards the registers are those between two
instructions. The loop then clears the byte before it reads what was wanted. So nothing is lost, and
between two accesses of a guest nothing has to be looked at.
"""

from __future__ import annotations

import errno
import mmap
from _thread import RLock, get_ident
from struct import Struct

from vmm.backends.exits import Crashed, InternalError, Interrupted, Unsupported
from vmm.backends.kvm import abi
from vmm.backends.kvm.abi import KVM_EXIT_IO, KVM_EXIT_IO_OUT, KVM_EXIT_MMIO, KVM_RUN
from vmm.backends.kvm.descriptor import VcpuDescriptor
from vmm.backends.kvm.errors import KvmError, describe, raise_failed
from vmm.backends.kvm.foreign import NULL, ffi, libc
from vmm.backends.kvm.wakeup import admit, interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.backends.api import AccessHandler, Exit, Registers, RegisterValue, Sleep

# The hot fields of struct kvm_run by offset: reading several at once with a Struct costs half of
# what reading them one by one through cffi does. A test compares them with the cdef.
IMMEDIATE_EXIT: Final = 1
EXIT_REASON: Final = 8
MMIO_DATA: Final = 40
# io.direction, .size, .port, .count, .data_offset
IO: Final = Struct("=32xBBHIQ")
# mmio.phys_addr, .len, .is_write
MMIO: Final = Struct("=32xQ8xIB")

_SUBERRORS: Final = {
    abi.KVM_INTERNAL_ERROR_EMULATION: "KVM_INTERNAL_ERROR_EMULATION: "
    "KVM cannot emulate the instruction",
    abi.KVM_INTERNAL_ERROR_SIMUL_EX: "KVM_INTERNAL_ERROR_SIMUL_EX: simultaneous exceptions",
    abi.KVM_INTERNAL_ERROR_DELIVERY_EV: "KVM_INTERNAL_ERROR_DELIVERY_EV: "
    "an exit while an event was being delivered",
    abi.KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: "
    "the processor left the guest for a reason unknown to KVM",
}


class KvmVcpu:
    """One virtual processor. Except for `kick`, only the thread that runs it may call it.

    Attributes:
        index: its number from 0.
    """

    def __init__(
        self, descriptor: VcpuDescriptor, index: int, run_size: int, handler: AccessHandler
    ) -> None:
        """Take over ``descriptor``, and close it if this raises."""
        self.index = index
        self._descriptor = descriptor
        self._handler = handler
        self._guard = RLock()
        self._kicked = False
        # The thread inside `run`, 0 when none is; and the one that was there last.
        self._runner = 0
        self._admitted = 0
        try:
            self._mapping = mmap.mmap(descriptor.fd, run_size)
        except OSError as error:
            descriptor.close()
            raise KvmError("mmap", f"shared page of vCPU {index}", error.errno or 0) from error
        view = memoryview(self._mapping)
        # The shared pages as elements of each size that an access can have.
        self._lanes = {1: view, 2: view.cast("H"), 4: view.cast("I"), 8: view.cast("Q")}
        self._control: memoryview | bytearray = view
        self._buffer = ffi.from_buffer(self._mapping)
        self._run = ffi.cast("struct kvm_run *", self._buffer)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        """Bring the vCPU from its creation to the state after a reset."""

    # ---- Running ----

    def run(self) -> Exit:
        """Execute the guest until something needs the machine; answers accesses on the way.

        Signal handlers of Python run in between as they do around any blocking call, so that
        Ctrl-C raises KeyboardInterrupt from here. If the handler of accesses raises, the exception
        passes through, and the next run completes the instruction.

        Raises:
            KvmError: if the vCPU is closed, or was made by another process.
        """
        handler = self._handler
        mmio_read, mmio_write = handler.mmio_read, handler.mmio_write
        port_read, port_write = handler.port_read, handler.port_write
        ioctl, fd, lanes, mapping = libc.ioctl, self._descriptor.fd, self._lanes, self._mapping
        words, unpack_io, unpack_mmio = lanes[4], IO.unpack_from, MMIO.unpack_from
        self._enter()
        try:
            while True:
                if ioctl(fd, KVM_RUN, NULL) < 0:
                    exit_ = self._on_error(ffi.errno)
                    if exit_ is not None:
                        return exit_
                    continue
                reason = words[EXIT_REASON // 4]
                if reason == KVM_EXIT_IO:
                    direction, size, port, count, offset = unpack_io(mapping)
                    if count != 1:
                        self._string_io(direction, size, port, count, offset)
                    elif direction == KVM_EXIT_IO_OUT:
                        port_write(port, size, lanes[size][offset // size])
                    else:
                        lanes[size][offset // size] = port_read(port, size)
                elif reason == KVM_EXIT_MMIO:
                    address, length, is_write = unpack_mmio(mapping)
                    if length not in lanes:
                        self._split_mmio(address, length, is_write)
                    elif is_write:
                        mmio_write(address, length, lanes[length][MMIO_DATA // length])
                    else:
                        lanes[length][MMIO_DATA // length] = mmio_read(address, length)
                else:
                    exit_ = self._on_exit(reason)
                    if exit_ is not None:
                        return exit_
        finally:
            with self._guard:
                self._runner = 0

    def kick(self) -> None:
        """Make `run` return `Interrupted` soon, or at once when it is not running yet."""
        with self._guard:
            self._kicked = True
            self._call_up()

    def sleep_by(self, sleep: Sleep) -> bool:
        """Return False: KVM keeps a vCPU that waits for an interrupt to itself."""
        return False

    def _enter(self) -> None:
        thread = get_ident()
        if thread != self._admitted:
            admit()
            self._admitted = thread
        with self._guard:
            self._runner = thread

    def _call_up(self) -> None:
        """Make the loop look up; the caller holds the guard and has left word what for."""
        if self._control[IMMEDIATE_EXIT]:
            return
        self._control[IMMEDIATE_EXIT] = 1
        # The runner cannot end while the guard is held, and needs no signal from itself.
        if self._runner not in (0, get_ident()):
            interrupt(self._runner)

    def _attend(self) -> None:
        """See to what the architecture wanted attention for."""

    def _on_error(self, error: int) -> Exit | None:
        # EAGAIN: a vCPU that waited to be started by another one has got its message.
        if error not in (errno.EINTR, errno.EAGAIN):
            return self._failed(error)
        with self._guard:
            self._control[IMMEDIATE_EXIT] = 0
            kicked, self._kicked = self._kicked, False
        self._attend()
        return Interrupted() if kicked else None

    def _failed(self, error: int) -> Exit:
        if error in (errno.EBADF, errno.EIO):
            raise_failed(abi.KVM_RUN, f"vCPU {self.index}", error)
        # Some instructions of a guest make the request itself fail; that is the guest's doing.
        return InternalError(f"KVM_RUN failed: {describe(error)}")

    def _string_io(self, direction: int, size: int, port: int, count: int, offset: int) -> None:
        """Answer the elements of a string instruction (INS, OUTS) that KVM hands over at once."""
        lane = self._lanes[size]
        for element in range(offset // size, offset // size + count):
            if direction == KVM_EXIT_IO_OUT:
                self._handler.port_write(port, size, lane[element])
            else:
                lane[element] = self._handler.port_read(port, size)

    def _split_mmio(self, address: int, length: int, is_write: bool) -> None:
        """Answer an access of odd length in naturally aligned pieces.

        KVM cuts an access that crosses a page in two, and leaves 3, 5, 6 or 7 bytes on a side.
        """
        done = 0
        while done < length:
            size = 4
            while size > length - done or (address + done) % size:
                size //= 2
            piece = slice(MMIO_DATA + done, MMIO_DATA + done + size)
            if is_write:
                value = int.from_bytes(self._mapping[piece], "little")
                self._handler.mmio_write(address + done, size, value)
            else:
                value = self._handler.mmio_read(address + done, size)
                self._mapping[piece] = value.to_bytes(size, "little")
            done += size

    # ---- Exits that are not accesses ----

    def _on_exit(self, reason: int) -> Exit | None:
        """Decide on an exit; None goes on."""
        run = self._run
        if reason == abi.KVM_EXIT_SHUTDOWN:
            return Crashed("triple fault")
        if reason == abi.KVM_EXIT_INTERNAL_ERROR:
            return self._internal_error()
        if reason == abi.KVM_EXIT_FAIL_ENTRY:
            return InternalError(
                "KVM_EXIT_FAIL_ENTRY: the processor refuses the guest's state, hardware reason "
                f"{run.fail_entry.hardware_entry_failure_reason:#x}"
            )
        return Unsupported(reason)

    def _internal_error(self) -> InternalError:
        failure = self._run.emulation_failure
        reason = _SUBERRORS.get(failure.suberror, f"KVM_EXIT_INTERNAL_ERROR {failure.suberror}")
        if failure.suberror != abi.KVM_INTERNAL_ERROR_EMULATION:
            words = self._run.internal.data[0 : min(failure.ndata, 16)]
            return InternalError(f"{reason} ({', '.join(hex(word) for word in words)})")
        # ndata counts 64-bit words: the flags and the two of the instruction.
        described = failure.ndata >= 3 and (
            failure.flags & abi.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES
        )
        length = min(failure.insn_size, 15) if described else 0
        return InternalError(reason, bytes(failure.insn_bytes[0:length]))

    # ---- Registers: the architecture's ----

    def registers(self) -> dict[str, RegisterValue]:
        """Return all registers, by their names in `vmm.backends.api`."""
        raise NotImplementedError

    def program_counter(self) -> int:
        """Return the address of the instruction that is being executed, or of the next one."""
        raise NotImplementedError

    def follow_program_counter(self) -> None:
        """KVM always knows it."""

    def set_registers(self, registers: Registers) -> None:
        """Set the registers given; the others keep their values."""
        raise NotImplementedError

    def translate(self, address: int) -> int | None:
        """Return the guest-physical address that virtual ``address`` maps to now, or None."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the vCPU back; harmless when repeated. A later kick has no effect."""
        with self._guard:
            if self._descriptor.fd < 0:
                return
            self._control = bytearray(2)
            self._run = None
            ffi.release(self._buffer)
            for lane in reversed(self._lanes.values()):
                lane.release()
            self._mapping.close()
            self._descriptor.close()
