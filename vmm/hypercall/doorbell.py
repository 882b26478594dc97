"""The doorbell: a guest asks the host for a service (see guest/include/calypso/abi.h).

The guest writes the address of a request block, divided by 64, as one 32-bit word; the service
has been done when the write completes. Whatever the guest puts into the block, the answer is a
result or a negative errno: nothing it does can raise an exception here.
"""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENOSYS
from struct import Struct

from vmm.errors import GuestMemoryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from vmm.memory import GuestMemory

    # Takes the request's six arguments (mutable: some services answer there), gives its result.
    Service = Callable[[list[int]], int]

REQUEST_ALIGNMENT: Final = 64
_REQUEST: Final = Struct("<IIq6Q")  # struct calypso_request

WIDTH: Final = 4


class Doorbell:
    """The doorbell register, as a region of a bus."""

    def __init__(self, memory: GuestMemory, services: Mapping[int, Service]) -> None:
        self._memory = memory
        self._services = services

    def read(self, offset: int, size: int) -> int:
        """The doorbell holds nothing: it reads as zero."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Carry out the request at guest-physical address ``value * 64``."""
        if offset != 0 or size != WIDTH:
            return
        try:
            block = self._memory.view(value * REQUEST_ALIGNMENT, _REQUEST.size)
        except GuestMemoryError:
            return
        number, flags, _, *arguments = _REQUEST.unpack_from(block)
        result = self._serve(number, flags, arguments)
        _REQUEST.pack_into(block, 0, number, flags, result, *arguments)

    def decode(self, offset: int, value: int, write: bool) -> tuple[str, dict[str, int]]:
        """Name the service that a write asks for, and its arguments; for traces."""
        from vmm.hypercall.names import name_request

        try:
            block = self._memory.view(value * REQUEST_ALIGNMENT, _REQUEST.size)
        except GuestMemoryError:
            block = None
        if offset or not write or block is None:
            return f"+{offset:#x}", {}
        number, _, _, *arguments = _REQUEST.unpack_from(block)
        return name_request(number, arguments)

    def _serve(self, number: int, flags: int, arguments: list[int]) -> int:
        service = self._services.get(number)
        if service is None:
            return -ENOSYS
        if flags != 0:
            return -EINVAL
        try:
            return service(arguments)
        except GuestMemoryError:
            return -EFAULT
        except OSError as error:
            return -(error.errno or EINVAL)
