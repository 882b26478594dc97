"""Compressed kernels: a whole file in gzip, xz or zstd, or an EFI image that unpacks itself.

EFI images of the "zboot" kind (Linux's drivers/firmware/efi/libstub/zboot-header.S) hold a
compressed arm64 Image, with its place and method in the first bytes.
"""

from __future__ import annotations

import os
from struct import Struct

from vmm.errors import UsageError
from vmm.images.file import memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from vmm.images.file import ImageFile
    from vmm.images.image import Image

# Bounds what a file of a few bytes can unpack to; kernels with all their modules stay below.
MAX_UNPACKED: Final = 512 << 20

# "MZ", "zimg", offset and size of the payload, 8 reserved bytes, the method.
_ZBOOT: Final = Struct("<2s2x4sII8x32s")


def is_packed(file: ImageFile) -> bool:
    """Tell whether a file begins like a compressed one."""
    head = file.head
    return head.startswith(tuple(magic for magic, _, _ in _METHODS)) or _is_zboot(head)


def unpack(file: ImageFile) -> bytes:
    """Return what is in a file for which `is_packed` holds.

    Raises:
        UsageError: if it is damaged, too large, or nothing here can unpack it.
    """
    head = file.head
    for magic, name, method in _METHODS:
        if head.startswith(magic):
            return _unpack(file, name, method, file.read(0, file.size, "the file"))
    _, _, offset, size, text = _ZBOOT.unpack(file.read(0, _ZBOOT.size, "the zboot header"))
    wanted = text.partition(b"\0")[0].decode("ascii", "backslashreplace")
    payload = file.read(offset, size, "the payload of the zboot header")
    for _, name, method in _METHODS:
        if name == wanted:
            return _unpack(file, name, method, payload)
    raise UsageError(f"{file.path}: the zboot header names method {wanted!r}, which is unknown")


def recognise(file: ImageFile) -> Image | None:
    """Return an image if ``file``, for which `is_packed` holds, is a compressed kernel.

    Raises:
        UsageError: if it is damaged, or holds a malformed kernel.
    """
    content = unpack(file)
    from vmm.images.recognise import recognise_unpacked

    inner = memory_file(file.path, content)
    image = recognise_unpacked(inner)
    if image is None:
        inner.close()
        return None
    file.close()
    return image


def _is_zboot(head: bytes) -> bool:
    return head[:2] == b"MZ" and head[4:8] == b"zimg"


def _unpack(file: ImageFile, name: str, method: Callable[[bytes], bytes], packed: bytes) -> bytes:
    try:
        return method(packed)
    except (EOFError, ValueError, OSError) as error:
        raise UsageError(f"{file.path}: {name}: {error}") from None


def _gunzip(packed: bytes) -> bytes:
    import zlib

    # 31: with a gzip header. Signed kernels have other things behind the compressed data.
    decompressor = zlib.decompressobj(31)
    try:
        content = decompressor.decompress(packed, MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    return _complete(content, decompressor.eof)


def _unxz(packed: bytes) -> bytes:
    import lzma

    decompressor = lzma.LZMADecompressor(memlimit=MAX_UNPACKED)
    try:
        content = decompressor.decompress(packed, MAX_UNPACKED)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from None
    return _complete(content, decompressor.eof)


def _unzstd(packed: bytes) -> bytes:
    """Unpack by the zstd command: Python has no module for it before 3.14."""
    import subprocess

    command = ["zstd", "-dcq", f"--memory={MAX_UNPACKED >> 20}MB"]
    with (
        open(os.memfd_create("packed"), "w+b") as source,
        open(os.memfd_create("messages"), "w+b", buffering=0) as messages,
    ):
        source.write(packed)
        source.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=source, stdout=subprocess.PIPE, stderr=messages
            )
        except FileNotFoundError:
            raise ValueError("unpacking needs the command zstd: install it") from None
        with process:
            assert process.stdout is not None
            # It would go on: some kilobytes can unpack to terabytes.
            content = process.stdout.read(MAX_UNPACKED)
            if len(content) == MAX_UNPACKED:
                process.kill()
        if process.returncode and len(content) < MAX_UNPACKED:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            raise ValueError(lines[-1] if lines else "damaged")
    return _complete(content, True)


def _complete(content: bytes, whole: bool) -> bytes:
    if len(content) >= MAX_UNPACKED:
        raise ValueError(f"unpacks to more than {MAX_UNPACKED >> 20} MiB")
    if not whole:
        raise ValueError("truncated")
    return content


_METHODS: Final = (
    (b"\x1f\x8b", "gzip", _gunzip),
    (b"\xfd7zXZ\0", "xzkern", _unxz),
    (b"\x28\xb5\x2f\xfd", "zstd", _unzstd),
)
