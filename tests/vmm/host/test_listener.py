"""UNIX sockets to listen at: what is in the way, and what is not."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from vmm.host.listener import listen, stop_listening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


def test_nothing_is_left_of_a_socket_that_is_given_up(path: Path) -> None:
    listener = listen(str(path))
    stop_listening(listener, str(path))
    assert not path.exists()
    stop_listening(listener, str(path))


def test_an_abandoned_socket_makes_way(path: Path) -> None:
    listen(str(path)).close()
    assert path.is_socket()
    with listen(str(path)) as listener, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        listener.accept()[0].close()


@pytest.mark.parametrize("backlog", [0, 128])
def test_a_socket_in_use_stays(path: Path, backlog: int) -> None:
    with listen(str(path)) as other, socket.socket(socket.AF_UNIX) as caller:
        other.listen(backlog)
        caller.connect(str(path))
        with pytest.raises(OSError, match="another process listens there") as raised:
            listen(str(path))
        assert raised.value.errno == errno.EADDRINUSE
        other.accept()[0].close()


def test_a_file_stays(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(OSError, match="there is a file of this name, which is no socket"):
        listen(str(path))
    assert path.read_text() == "precious"


def test_a_link_to_an_abandoned_socket_stays(path: Path) -> None:
    listen(str(path)).close()
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(OSError, match="there is a file of this name, which is no socket"):
        listen(str(link))
    assert link.is_symlink()
    assert path.is_socket()


def test_what_else_is_wrong_is_told(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen(str(path / "socket"))
    with pytest.raises(OSError, match="too long"):
        listen("a" * 200)
