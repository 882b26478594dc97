"""UNIX sockets at which programs of the host reach a machine."""

from __future__ import annotations

import os
import socket
from errno import EADDRINUSE


def listen(path: str) -> socket.socket:
    """Return a non-blocking socket that listens at ``path``.

    It takes the place of a socket that nobody listens on any more: a process that was killed
    leaves that behind.

    Raises:
        OSError: if that cannot be; its ``strerror`` says what is there already.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            _remove_abandoned(path)
            listener.bind(path)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def stop_listening(listener: socket.socket, path: str) -> None:
    """Close what `listen` returned, and remove it from the file system."""
    listener.close()
    try:
        os.unlink(path)
    except OSError:
        pass  # somebody was faster


def _remove_abandoned(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            if not os.path.islink(path) and _is_socket(path):
                os.unlink(path)
                return
            raise OSError(EADDRINUSE, "there is a file of this name, which is no socket") from None
        except BlockingIOError:
            pass  # somebody listens who is busy
    raise OSError(EADDRINUSE, "another process listens there")


def _is_socket(path: str) -> bool:
    from stat import S_ISSOCK

    return S_ISSOCK(os.stat(path).st_mode)
