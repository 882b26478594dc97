"""The host's ends of vsock connections: UNIX sockets, as Firecracker maps them.

A guest that connects to port P of the host reaches whoever listens on PATH_P. A program of the
host connects to PATH and sends ``CONNECT P`` and a newline to reach port P of the guest; it reads
``OK`` and its own port when the guest has accepted.
"""

from __future__ import annotations

import socket

from vmm.errors import UsageError, VmmError
from vmm.host.listener import listen, stop_listening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.lines import Descriptors, Watch

# A greeting is no longer: CONNECT, a space, ten digits, a newline.
MAX_GREETING: Final = 19

# Programs that have connected and said nothing yet.
MAX_SILENT: Final = 16


def _refuse(connection: socket.socket, port: int) -> None:
    connection.close()


class VsockHost:
    """The sockets at one path.

    Attributes:
        on_connect: called with a connected socket and the guest's port that it is for.
    """

    def __init__(self, path: str, events: Descriptors) -> None:
        """Listen at ``path``.

        Raises:
            UsageError: if that cannot be, above all because something is there already.
        """
        self.on_connect: Callable[[socket.socket, int], None] = _refuse
        self._path = path
        self._events = events
        self._silent: dict[socket.socket, Watch] = {}
        self._greetings: dict[socket.socket, bytearray] = {}
        try:
            self._listener = listen(path)
        except OSError as error:
            raise UsageError(f"vsock {path}: {error.strerror or error}") from None
        try:
            self._watch = events.watch(self._listener.fileno(), self._accept)
        except VmmError:
            stop_listening(self._listener, path)
            raise
        self._watch.arm(read=True)

    def close(self) -> None:
        """Stop listening and remove the socket from the file system."""
        self._watch.close()
        stop_listening(self._listener, self._path)
        for connection in list(self._silent):
            self._dismiss(connection)
            connection.close()

    def connect(self, port: int) -> socket.socket:
        """Return a socket that is connected to whoever listens on ``port``.

        Raises:
            OSError: if nobody does.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(f"{self._path}_{port}")
        except OSError:
            connection.close()
            raise
        return connection

    def watch(self, connection: socket.socket, callback: Callable[[], None]) -> Watch:
        """Return a watch on ``connection``."""
        return self._events.watch(connection.fileno(), callback)

    def _accept(self) -> None:
        self._watch.arm(read=True)
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._silent) == MAX_SILENT:
            connection.close()
            return
        connection.setblocking(False)
        watch = self.watch(connection, lambda: self._greeted(connection))
        self._silent[connection] = watch
        self._greetings[connection] = bytearray()
        watch.arm(read=True)

    def _greeted(self, connection: socket.socket) -> None:
        """Read more of the greeting, byte by byte: what follows it is for the guest."""
        greeting = self._greetings[connection]
        try:
            while not greeting.endswith(b"\n") and len(greeting) < MAX_GREETING:
                byte = connection.recv(1)
                if not byte:
                    break
                greeting += byte
        except BlockingIOError:
            self._silent[connection].arm(read=True)
            return
        except OSError:
            greeting.clear()
        self._dismiss(connection)
        word, _, digits = bytes(greeting).partition(b" ")
        if word == b"CONNECT" and digits[:-1].isdigit() and digits.endswith(b"\n"):
            port = int(digits)
            if not port >> 32:
                self.on_connect(connection, port)
                return
        connection.close()

    def _dismiss(self, connection: socket.socket) -> None:
        self._silent.pop(connection).close()
        del self._greetings[connection]
