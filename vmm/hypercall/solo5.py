"""The hypercalls of Solo5's hvt (hvt_abi.h, version 2): clock, console, devices, poll, halt.

The guest writes the 32-bit address of the call's structure; the answer is in it when the write
completes. All fields are little-endian. A structure or buffer that is not in RAM ends the run: the
ABI has no answer for it.
"""

from __future__ import annotations

from struct import Struct
from time import time_ns

from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Protocol

    from vmm.console import Console
    from vmm.lines import Clock
    from vmm.memory import GuestMemory

    class Host(Protocol):
        """What a machine does for the hypercalls."""

        def exit(self, status: int) -> None:
            """End the run: the guest has exited."""
            ...

        def abort(self, status: int, message: str) -> None:
            """End the run: the guest has given up, with this exit status."""
            ...

        def crash(self, message: str) -> None:
            """End the run: the guest asked for what cannot be."""
            ...

        def sleep(self, deadline: int, descriptors: Sequence[int]) -> list[int]:
            """Wait for a descriptor or until ``deadline``; return those that can be read."""
            ...

    class Properties(Protocol):
        """What a guest is told of a device before it starts."""

        def pack(self) -> bytes:
            """Return the structure that its manifest has for this type of device."""
            ...

    class BlockDevice(Protocol):
        """A disk; its methods raise `OSError` for what the host's file does."""

        @property
        def capacity(self) -> int: ...
        @property
        def properties(self) -> Properties: ...
        def read(self, views: Sequence[memoryview], offset: int) -> None: ...
        def write(self, views: Sequence[memoryview], offset: int) -> None: ...

    class NetworkDevice(Protocol):
        """A network interface with a descriptor that can be read when there is a frame."""

        @property
        def properties(self) -> Properties: ...
        @property
        def descriptor(self) -> int: ...
        def receive(self, target: memoryview) -> int: ...
        def send(self, frame: memoryview) -> None: ...


# enum hvt_hypercall
WALLTIME: Final = 1
PUTS: Final = 2
POLL: Final = 3
BLOCK_WRITE: Final = 4
BLOCK_READ: Final = 5
NET_WRITE: Final = 6
NET_READ: Final = 7
HALT: Final = 8
CALLS: Final = 9

# solo5_result_t
_OK: Final = 0
_AGAIN: Final = 1
_EINVAL: Final = 2
_EUNSPEC: Final = 3

# Exit status of solo5_abort().
_ABORTED: Final = 255
# What a cookie must have room for. Of an exception on x86_64 it is a trap frame, `_TRAP_FRAME`:
# CR2, error code, RIP, CS, RFLAGS, RSP, SS.
_COOKIE_SIZE: Final = 512
_TRAP_FRAME: Final = Struct("<7Q")

_WIDTH: Final = 4
_PUTS: Final = Struct("<QQ")  # data, length
_POLL: Final = Struct("<QQi")  # timeout; ready set, result
_BLOCK: Final = Struct("<QQQQi")  # handle, offset, data, length; result
_NET: Final = Struct("<QQQi")  # handle, data, length; result
_HALT: Final = Struct("<Qi")  # cookie, status

# The longest sleep, a year, so that sums stay in range.
_MAX_TIMEOUT_NS: Final = 365 * 24 * 3600 * 1_000_000_000


class Hypercalls:
    """The hypercalls of one machine.

    Attributes:
        disks: the block devices, by handle.
        networks: the network devices, by handle.
    """

    def __init__(self, memory: GuestMemory, clock: Clock, console: Console, host: Host) -> None:
        self.disks: dict[int, BlockDevice] = {}
        self.networks: dict[int, NetworkDevice] = {}
        self._memory = memory
        self._clock = clock
        self._console = console
        self._host = host
        self._calls: dict[int, Callable[[int], None]] = {
            WALLTIME: self._walltime,
            PUTS: self._puts,
            POLL: self._poll,
            BLOCK_WRITE: self._block_write,
            BLOCK_READ: self._block_read,
            NET_WRITE: self._net_write,
            NET_READ: self._net_read,
            HALT: self._halt,
        }

    def region(self, stride: int) -> HypercallRegion:
        """Return the registers, one for each call, ``stride`` apart, as a region of a bus."""
        return HypercallRegion(self, stride)

    def call(self, number: int, gpa: int) -> None:
        """Carry out call ``number`` with the structure at ``gpa``."""
        function = self._calls.get(number)
        if function is None:
            self._host.crash(f"hypercall {number} does not exist")
            return
        try:
            function(gpa)
        except GuestMemoryError as error:
            self._host.crash(f"hypercall {number}: {error}")

    def _walltime(self, gpa: int) -> None:
        self._memory.write_u64(gpa, time_ns())

    def _puts(self, gpa: int) -> None:
        data, length = _PUTS.unpack(self._memory.read(gpa, _PUTS.size))
        try:
            self._console.write(self._memory.read(data, length))
        except OSError:
            pass  # nobody listens at the host's end: the guest is not told

    def _halt(self, gpa: int) -> None:
        cookie, status = _HALT.unpack(self._memory.read(gpa, _HALT.size))
        frame = self._memory.view(cookie, _COOKIE_SIZE) if cookie else None
        status &= 0xFF
        if status != _ABORTED:
            self._host.exit(status)
        elif frame is None:
            self._host.abort(status, "")
        else:
            cr2, error, rip, _, _, rsp, _ = _TRAP_FRAME.unpack_from(frame)
            self._host.abort(status, f"at {rip:#x}, rsp {rsp:#x}, error {error:#x}, cr2 {cr2:#x}")

    def _poll(self, gpa: int) -> None:
        answer = self._memory.view(gpa, _POLL.size)
        timeout, _, _ = _POLL.unpack_from(answer)
        handles = {network.descriptor: handle for handle, network in self.networks.items()}
        deadline = self._clock.now() + min(timeout, _MAX_TIMEOUT_NS)
        ready = self._host.sleep(deadline, list(handles))
        ready_set = sum(1 << handles[descriptor] for descriptor in ready)
        _POLL.pack_into(answer, 0, timeout, ready_set, len(ready))

    # ---- Disks ----

    def _block_read(self, gpa: int) -> None:
        self._transfer(gpa, write=False)

    def _block_write(self, gpa: int) -> None:
        self._transfer(gpa, write=True)

    def _transfer(self, gpa: int, *, write: bool) -> None:
        call = self._memory.view(gpa, _BLOCK.size)
        handle, offset, data, length, _ = _BLOCK.unpack_from(call)
        result = _EINVAL
        disk = self.disks.get(handle)
        # An offset at the very end is an error, even with nothing to transfer.
        if disk is not None and offset < disk.capacity and length <= disk.capacity - offset:
            buffer = self._memory.view(data, length)
            try:
                disk.write([buffer], offset) if write else disk.read([buffer], offset)
                result = _OK
            except OSError:
                result = _EUNSPEC
        _BLOCK.pack_into(call, 0, handle, offset, data, length, result)

    # ---- Networks ----

    def _net_write(self, gpa: int) -> None:
        call = self._memory.view(gpa, _NET.size)
        handle, data, length, _ = _NET.unpack_from(call)
        network = self.networks.get(handle)
        result = _EINVAL
        if network is not None:
            network.send(self._memory.view(data, length))
            result = _OK
        _NET.pack_into(call, 0, handle, data, length, result)

    def _net_read(self, gpa: int) -> None:
        call = self._memory.view(gpa, _NET.size)
        handle, data, length, _ = _NET.unpack_from(call)
        network = self.networks.get(handle)
        result = _EINVAL
        if network is not None:
            received = network.receive(self._memory.view(data, length))
            length, result = (received, _OK) if received else (length, _AGAIN)
        _NET.pack_into(call, 0, handle, data, length, result)


class HypercallRegion:
    """The registers that hypercalls are made by, one for each."""

    def __init__(self, calls: Hypercalls, stride: int) -> None:
        self._calls = calls
        self._stride = stride

    def read(self, offset: int, size: int) -> int:
        """There is nothing to read."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Make the call whose register this is, with the structure at address ``value``."""
        if size == _WIDTH and offset % self._stride == 0:
            self._calls.call(offset // self._stride, value)
