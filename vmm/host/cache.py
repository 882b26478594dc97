"""Files that spare the next process some work: `$XDG_CACHE_HOME/calypso`.

A cached file is a hint: its absence, damage or refusal changes nothing but the time taken.
"""

from __future__ import annotations

import os


def cache_path(name: str) -> str | None:
    """Return where the cached file ``name`` is or would be; None if this user has no cache.

    As the XDG Base Directory Specification has it, a path that is not absolute counts as unset.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.environ.get("HOME", "")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "calypso", name)


def publish(path: str, content: bytes | bytearray) -> bool:
    """Let ``path`` be a file of ``content`` that this user alone may write; tell whether it is.

    Others see all of the file or none of it.
    """
    draft = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        # Not what somebody else put there: the directory may be another user's (sudo keeps HOME).
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(fd, "wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
        os.replace(draft, path)
    except OSError:
        os.unlink(draft)
        return False
    return True
