"""The host's ends of ports: the machine's console, UNIX sockets, files, descriptors."""

from __future__ import annotations

import os

from vmm.errors import UsageError, VmmError
from vmm.host.listener import listen, stop_listening

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from vmm.devices.virtio.console.port import Port
    from vmm.lines import Descriptors

    class Wire(Protocol):
        """What the machine's console is connected by (`vmm.boards.serial.SerialWire`)."""

        @property
        def sink(self) -> Callable[[bytes], None]: ...

        def connect(self, uart: Port, /) -> None: ...
        def feed(self) -> None: ...


class ConsoleEnd:
    """The machine's console, which is always there.

    Attributes:
        connected: True.
    """

    connected = True

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._port: Port | None = None

    def attach(self, port: Port) -> None:
        """Belong to ``port``; its input goes there once the guest has opened it."""
        self._port = port

    def send(self, data: bytes) -> int:
        """Write ``data``."""
        self._wire.sink(data)
        return len(data)

    def on_room(self) -> None:
        """Give input: the console's goes to this port from the first time on."""
        port, self._port = self._port, None
        if port is None:
            self._wire.feed()
        else:
            self._wire.connect(port)

    def on_told(self) -> None:
        """Nobody waits for that."""


class FileEnd:
    """A file to which output is appended.

    Attributes:
        connected: True.
    """

    connected = True

    def __init__(self, path: str) -> None:
        """Open ``path``, which is made if need be.

        Raises:
            UsageError: if that cannot be.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise UsageError(f"port to the file {path}: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def send(self, data: bytes) -> int:
        """Append ``data``; what a full disk does not take is lost."""
        try:
            os.write(self._fd, data)
        except OSError:
            pass
        return len(data)

    def on_room(self) -> None:
        """There is no input."""

    def on_told(self) -> None:
        """Nobody waits for that."""


def open_descriptor(fd: int, events: Descriptors) -> LineEnd:
    """Return an end that is the descriptor ``fd``, which this process was started with.

    Raises:
        UsageError: if there is none, or one that cannot be waited for.
    """
    copy = -1
    try:
        copy = os.dup(fd)
        return LineEnd(copy, events)
    except OSError as error:
        if copy >= 0:
            os.close(copy)
        hint = "; for a file write file:PATH" if isinstance(error, PermissionError) else ""
        raise UsageError(f"port at descriptor {fd}: {error.strerror}{hint}") from None


class LineEnd:
    """A descriptor that data comes from and goes to: a connected socket, a pipe, a terminal.

    Args:
        fd: the descriptor, which is made non-blocking and belongs to this object.
        events: where to wait for it.

    Attributes:
        on_end: called when the other side has gone; tells the port, unless it is set to something.
        connected: it has not.
    """

    def __init__(self, fd: int, events: Descriptors) -> None:
        self.connected = True
        self.on_end: Callable[[], None] = self._tell
        self._fd = fd
        self._port: Port | None = None
        self._full = False
        self._watch = events.watch(fd, self._ready)
        # Others may have it too: a terminal, say.
        self._was_blocking = os.get_blocking(fd)
        os.set_blocking(fd, False)

    def attach(self, port: Port) -> None:
        """Belong to ``port``."""
        self._port = port
        self._arm()

    def close(self) -> None:
        """Close the descriptor; harmless when closed."""
        fd, self._fd = self._fd, -1
        self.connected = False
        if fd >= 0:
            self._watch.close()
            os.set_blocking(fd, self._was_blocking)
            os.close(fd)

    def send(self, data: bytes) -> int:
        """Write as much of ``data`` as there is room for."""
        if not self.connected:
            return len(data)
        try:
            done = os.write(self._fd, data)
        except BlockingIOError:
            done = 0
        except OSError:
            self._hang_up()
            return len(data)
        self._full = done < len(data)
        self._arm()
        return done

    def on_room(self) -> None:
        """Read when there is something to read."""
        self._arm()

    def on_told(self) -> None:
        """Nobody waits for that."""

    def _arm(self) -> None:
        if self.connected and self._port is not None:
            self._watch.arm(read=self._port.room() > 0, write=self._full)

    def _ready(self) -> None:
        port = self._port
        if port is None:
            return
        if self._full:
            self._full = False
            port.resume()
        if port.room() and self.connected:
            self._read(port)
        self._arm()

    def _read(self, port: Port) -> None:
        try:
            data = os.read(self._fd, port.room())
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            port.receive(data)
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close()
        self.on_end()

    def _tell(self) -> None:
        if self._port is not None:
            self._port.changed()


class SocketEnd:
    """A UNIX socket to which one program of the host at a time can connect.

    The next one is let in when the guest knows that the one before it has gone.
    """

    def __init__(self, path: str, events: Descriptors) -> None:
        """Listen at ``path``.

        Raises:
            UsageError: if that cannot be, above all because something is there already.
        """
        self._path = path
        self._events = events
        self._port: Port | None = None
        self._line: LineEnd | None = None
        try:
            self._listener = listen(path)
        except OSError as error:
            raise UsageError(f"port at {path}: {error.strerror or error}") from None
        try:
            self._watch = events.watch(self._listener.fileno(), self._accept)
        except VmmError:
            stop_listening(self._listener, path)
            raise

    def attach(self, port: Port) -> None:
        """Belong to ``port``."""
        self._port = port

    def close(self) -> None:
        """Stop listening, hang up, and remove the socket from the file system."""
        self._watch.close()
        stop_listening(self._listener, self._path)
        line, self._line = self._line, None
        if line is not None:
            line.close()

    @property
    def connected(self) -> bool:
        """Tell whether a program is connected."""
        return self._line is not None

    def send(self, data: bytes) -> int:
        """Send as much of ``data`` as there is room for; all is lost while nobody is connected."""
        return len(data) if self._line is None else self._line.send(data)

    def on_room(self) -> None:
        """Read when there is something to read."""
        if self._line is not None:
            self._line.on_room()

    def on_told(self) -> None:
        """Let somebody connect."""
        if self._line is None:
            self._watch.arm(read=True)

    def _accept(self) -> None:
        port = self._port
        if port is None or self._line is not None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            self._watch.arm(read=True)
            return
        self._line = LineEnd(connection.detach(), self._events)
        self._line.on_end = self._ended
        self._line.attach(port)
        port.changed()

    def _ended(self) -> None:
        self._line = None
        if self._port is not None:
            self._port.changed()
