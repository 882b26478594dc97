"""What to tell a user about a file that nothing here can boot."""

from __future__ import annotations

from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISREG

from vmm.images.elf import DYN, MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vmm.images.elf import Elf
    from vmm.images.file import ImageFile

_NEEDED: Final = "a Linux program (ELF, x86_64 or arm64) or a kernel of a known kind is needed"

# What a file begins with, and what that is. Longer prefixes come first where one holds another.
_BEGINNINGS: Final = (
    (b"#!", "a script: run its interpreter and give it the script as an argument"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\x04\x22\x4d\x18", "compressed with lz4: unpack it first"),
    (b"070701", "a cpio archive: give it as --initrd and name a program to run"),
    (b"\xd0\x0d\xfe\xed", "a device tree blob"),
    (b"!<arch>\n", "a static library or Debian package"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xca\xfe\xba\xbe", "a Mach-O or Java class file"),
    (b"\xcf\xfa\xed\xfe", "a macOS program (Mach-O)"),
    (b"\0asm", "a WebAssembly module"),
    (b"QFI\xfb", "a qcow2 disk image"),
)

# (offset, bytes, what it is): magic numbers inside a header.
_INSIDE: Final = (
    (0x101, b"ustar", "a tar archive: give its files as a cpio archive to --initrd"),
    (0x1FE, b"\x55\xaa", "a disk image or boot sector"),
    (0, b"MZ", "a Windows or EFI executable (PE)"),
)

_MACHINES: Final = {3: "i386", 40: "32-bit Arm", 62: "x32", 183: "arm64 ILP32", 243: "RISC-V"}


def explain(file: ImageFile, elf: Elf | None) -> str:
    """Return one line: the path, what the file looks like, and what would do."""
    return f"{file.path}: {_looks_like(file, elf)}; {_NEEDED}"


def _looks_like(file: ImageFile, elf: Elf | None) -> str:
    if not S_ISREG(file.mode):
        return _special(file.mode)
    if not file.size:
        return "the file is empty"
    if elf is not None:
        return _elf64(elf)
    head = file.head
    if head.startswith(MAGIC):
        machine = int.from_bytes(head[18:20], "little")
        return f"a 32-bit ELF file for {_MACHINES.get(machine, f'machine {machine}')}"
    for beginning, meaning in _BEGINNINGS:
        if head.startswith(beginning):
            return meaning
    for offset, magic, meaning in _INSIDE:
        if head.startswith(magic, offset):
            return meaning
    if _is_text(head):
        return "a text file"
    return f"not recognised: it begins with {head[:8].hex(' ')}"


def _special(mode: int) -> str:
    if S_ISDIR(mode):
        return "a directory"
    if S_ISCHR(mode) or S_ISBLK(mode):
        return "a device"
    return "a FIFO or socket"


def _elf64(elf: Elf) -> str:
    if elf.loads[0].virtual >> 63:
        return "an operating system's kernel (ELF at addresses of the upper half)"
    if elf.type == DYN and elf.entry == 0:
        return "a shared library, which has no entry point"
    for note in elf.notes():
        if note.name == "Solo5":
            return "a Solo5 unikernel"
        if note.name == "Xen":
            return "a kernel with a Xen or PVH entry"
    return "an ELF executable for another operating system"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end within a character.
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\n\r\f" for character in text)
