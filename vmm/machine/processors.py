"""The threads of a machine's vCPUs; the first one runs in the thread that runs the machine."""

from __future__ import annotations

from _thread import allocate_lock

from vmm.errors import VmmError
from vmm.host.threads import start_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmm.backends.api import Vcpu


class Processors:
    """Runs each vCPU in a thread of its own until the machine's end.

    Args:
        vcpus: all but the first.
        run: runs one of them to the machine's end; raises nothing.
    """

    def __init__(self, vcpus: Sequence[Vcpu], run: Callable[[Vcpu], None]) -> None:
        self._vcpus = vcpus
        self._run = run
        self._ended = [allocate_lock() for _ in vcpus]
        self._started = False

    def start(self) -> None:
        """Start the threads; harmless when repeated.

        Raises:
            VmmError: if the host refuses one.
        """
        if self._started:
            return
        self._started = True
        for vcpu, ended in zip(self._vcpus, self._ended, strict=True):
            ended.acquire()
            try:
                start_thread(self._serve, vcpu, ended.release)
            except VmmError:
                ended.release()
                raise

    def kick(self) -> None:
        """Have all of them look whether the machine has ended."""
        for vcpu in self._vcpus:
            vcpu.kick()

    def join(self) -> None:
        """Wait for the ends of the threads, which the machine's end brings about."""
        if self._started:
            for ended in self._ended:
                with ended:
                    pass

    def _serve(self, vcpu: Vcpu, end: Callable[[], None]) -> None:
        try:
            self._run(vcpu)
        finally:
            end()
