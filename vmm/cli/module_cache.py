"""The modules of `vmm run` from one file, as long as their sources are what they were.

Finding, checking and reading sixty files of bytecode takes Python a tenth of the whole time of a
short run. The first run that imports a module adds its bytecode to one file, and later runs map
that. As with Python's own files of bytecode, a module whose source has another size or time of
modification is not taken from it.

The file: the sizes of the index and of the file (u64, little-endian); the index, a marshalled dict
from names of modules to `Entry`; the marshalled code of each module.
"""

from __future__ import annotations

import marshal
import mmap
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER
from struct import Struct, error

from vmm.host.cache import cache_path, publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType
    from typing import Final

    # Where the code is behind the index and its size; the source, its time of modification and
    # size as in a .pyc file; whether the module is a package.
    Entry = tuple[int, int, str, int, int, bool]
else:
    Loader = object

_PREFIX: Final = "vmm."
_HEAD: Final = Struct("<QQ")
# Of a .pyc file: magic number, flags, the source's time of modification and size (PEP 552).
_PYC_HEADER: Final = Struct("<4sIII")
_PYC_MASK: Final = 0xFFFF_FFFF


class ModuleCache(Loader):
    """Finds and loads modules from the file; for the methods see `importlib.abc`."""

    def __init__(self, path: str) -> None:
        """Open the file ``path``; one that is missing or damaged is as good as empty."""
        self._path = path
        self._index: dict[str, Entry] = {}
        self._code = memoryview(b"")
        self._others = frozenset(sys.modules)
        try:
            self._open()
        except (OSError, ValueError, EOFError, TypeError, error):
            pass

    def _open(self) -> None:
        with open(self._path, "rb", buffering=0) as file:
            # Of this user's own making: it is going to be executed.
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return
            content = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        size, end = _HEAD.unpack_from(content)
        if end == len(content):
            self._index = marshal.loads(content[_HEAD.size : _HEAD.size + size])
            self._code = content[_HEAD.size + size :]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of module ``name``; None if it is not here, or not what it was."""
        entry = self._index.get(name)
        if entry is None:
            return None
        _, _, source, modified, size, is_package = entry
        try:
            status = os.stat(source)
        except OSError:
            return None
        if int(status.st_mtime) & _PYC_MASK != modified or status.st_size & _PYC_MASK != size:
            del self._index[name]
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import system to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module's code."""
        entry = self._index[module.__name__]
        module.__file__ = entry[2]
        exec(marshal.loads(self._code_of(entry)), module.__dict__)

    def complete(self) -> None:
        """Add to the file what was imported since the start and is not in it."""
        index = dict(self._index)
        codes = [self._code_of(entry) for entry in index.values()]
        for name, module in list(sys.modules.items()):
            if name.startswith(_PREFIX) and name not in index and name not in self._others:
                compiled = _read_pyc(module)
                if compiled is not None:
                    index[name], code = compiled
                    codes.append(memoryview(code))
        if len(index) == len(self._index):
            return
        start = 0
        for name, (_, size, source, modified, source_size, is_package) in index.items():
            index[name] = (start, size, source, modified, source_size, is_package)
            start += size
        head = marshal.dumps(index)
        sizes = _HEAD.pack(len(head), _HEAD.size + len(head) + start)
        publish(self._path, b"".join((sizes, head, *codes)))

    def _code_of(self, entry: Entry) -> memoryview:
        start, size = entry[:2]
        return self._code[start : start + size]


def _read_pyc(module: ModuleType) -> tuple[Entry, bytes] | None:
    """Return an entry for ``module`` and its code; None if Python keeps no bytecode of it."""
    spec = module.__spec__
    if spec is None or not spec.cached or not spec.origin:
        return None
    try:
        with open(spec.cached, "rb") as file:
            content = file.read()
    except OSError:
        return None
    if len(content) < _PYC_HEADER.size:
        return None
    magic, flags, modified, size = _PYC_HEADER.unpack_from(content)
    if magic != MAGIC_NUMBER or flags:
        return None
    code = content[_PYC_HEADER.size :]
    is_package = spec.submodule_search_locations is not None
    return (0, len(code), spec.origin, modified, size, is_package), code


def install() -> ModuleCache | None:
    """Let this process import from the file of this interpreter and installation.

    Returns None where this user has no cache.
    """
    place = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    tag = f"{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}-{sys.flags.optimize}"
    path = cache_path(f"modules-{tag}-{place.replace('/', '%')}")
    if path is None:
        return None
    cache = ModuleCache(path)
    sys.meta_path.insert(0, cache)
    return cache
