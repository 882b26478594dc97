"""Builds what the lab boots: a kernel, a ramdisk, a root file system, and the emulator for them.

Everything is Debian's, downloaded and unpacked; nothing of a foreign architecture is executed and
nothing needs root.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.debian import (
    DebianError,
    cache_directory,
    extract,
    find_tool,
    host_architecture,
    install_tools,
    open_release,
)

ARCHITECTURES = ("amd64", "arm64")

SUITE = "bookworm"
# Debian 12's own QEMU breaks AVX in nested x86_64 guests; the next release's does not. It is
# unpacked beside the images and run with the C library that it came with.
QEMU_SUITE = "trixie"
QEMU_PACKAGES = ("qemu-system-x86", "qemu-system-arm")

SYSTEM_PACKAGES = (
    "base-files bash busybox-static coreutils findutils grep hostname iproute2 iputils-ping kmod "
    "libc-bin mawk mount procps sed tar util-linux"
).split()
# What the KVM backends' tests import.
PYTHON_PACKAGES = (
    "python3 python3-cffi python3-click python3-construct python3-hypothesis python3-pyelftools "
    "python3-pytest"
).split()

MODULES = (
    "virtio_pci virtio_mmio virtio_blk virtio_console virtio-rng 9pnet_virtio 9p ext4 tun "
    "vhost_vsock"
).split()
KVM_MODULES = {"amd64": ["kvm_amd", "kvm_intel"], "arm64": []}

HOST_TOOLS = {"cpio": "cpio", "depmod": "kmod", "modprobe": "kmod", "mke2fs": "e2fsprogs"}

UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Image:
    """The files with which QEMU boots a lab."""

    directory: Path

    @property
    def kernel(self) -> Path:
        return self.directory / "kernel"

    @property
    def ramdisk(self) -> Path:
        return self.directory / "ramdisk.cpio"

    @property
    def root(self) -> Path:
        return self.directory / "root.ext4"


@dataclass(frozen=True)
class Emulator:
    """QEMU of a later release, unpacked."""

    directory: Path

    def command(self, architecture: str) -> list[str]:
        """Return the words that start QEMU for an architecture."""
        usr = self.directory / "usr"
        system = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
        [loader] = usr.glob("lib/*-linux-gnu/ld-linux-*.so.*")
        return [
            *(str(loader), "--library-path", f"{loader.parent}:{usr / 'lib'}"),
            str(usr / f"bin/qemu-system-{system}"),
            *("-L", str(usr / "share/qemu"), "-L", str(usr / "share/seabios")),
        ]


def image(architecture: str) -> Image:
    """Return the image of an architecture, built now unless it is in the cache.

    Raises:
        DebianError: where packages or tools for it cannot be had.
    """
    return Image(_cached(architecture, lambda work: _build_image(architecture, work)))


def emulator() -> Emulator:
    """Return the emulator, unpacked now unless it is in the cache.

    Raises:
        DebianError: where its packages cannot be had.
    """
    return Emulator(_cached("qemu", _build_emulator))


def _cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return the directory that ``build`` fills, made anew when the recipe has changed.

    Two processes may build the same at once: each in a place of its own, and the first wins.
    """
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in _recipe())).hexdigest()[:12]
    labs = cache_directory() / "kvm-lab"
    finished = labs / f"{name}-{recipe}"
    if finished.exists():
        return finished
    labs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=labs) as scratch:
        work = Path(scratch, "result")
        work.mkdir()
        build(work)
        for outdated in labs.glob(f"{name}-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        work.rename(finished)
    return finished


def _recipe() -> list[Path]:
    return [_HERE / name for name in ("images.py", "init", "ramdisk-init")]


def _build_emulator(work: Path) -> None:
    with open_release(QEMU_SUITE, host_architecture()) as release:
        _merge_usr(work)
        extract(release.download_with_dependencies(QEMU_PACKAGES), work)
    _remove_unused(work)


def _build_image(architecture: str, work: Path) -> None:
    install_tools(HOST_TOOLS)
    with tempfile.TemporaryDirectory(prefix="build.", dir=work.parent) as scratch:
        kernel, root, ramdisk = (Path(scratch, name) for name in ("kernel", "root", "ramdisk"))
        with open_release(SUITE, architecture) as release:
            kernel.mkdir()
            [package] = release.dependencies(f"linux-image-{architecture}")[:1]
            extract(release.download([package]), kernel)
            root.mkdir()
            _merge_usr(root)
            packages = [*SYSTEM_PACKAGES, *PYTHON_PACKAGES]
            extract(release.download_with_dependencies(packages), root)
        result = Image(work)
        version = package.removeprefix("linux-image-")
        _write_kernel(kernel / f"boot/vmlinuz-{version}", result.kernel)
        _configure_root(root)
        _write_ramdisk(architecture, version, kernel, root, ramdisk, result.ramdisk)
        _write_file_system(root, result.root)


def _merge_usr(root: Path) -> None:
    """Make the symlinks from / to /usr that the installer makes and no package has."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def _remove_unused(root: Path) -> None:
    for directory in UNUSED:
        shutil.rmtree(root / directory, ignore_errors=True)


def _write_kernel(compressed: Path, kernel: Path) -> None:
    """Copy the kernel, for x86_64 unpacked.

    QEMU enters an ELF file directly (by PVH), and the decompressor would be emulated for seconds.
    """
    data = compressed.read_bytes()
    if data[0x202:0x206] == b"HdrS":
        data = _bzimage_payload(data)
    kernel.write_bytes(data)


def _bzimage_payload(image: bytes) -> bytes:
    """Return the ELF file inside a bzImage (Linux x86 boot protocol, fields of 2.08)."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    # The stream is followed by its unpacked size, which the decompressor leaves alone.
    return lzma.LZMADecompressor().decompress(image[start : start + length])


def _configure_root(root: Path) -> None:
    """Do the little that the packages' own scripts would have done, which are not run."""
    _remove_unused(root)
    for mount_point in ("proc", "sys", "dev", "tmp", "run", "root", "host", "control", "cache"):
        (root / mount_point).mkdir(exist_ok=True)
    for link, target in (("sh", "bash"), ("awk", "mawk")):
        if not (root / "usr/bin" / link).is_symlink():
            (root / "usr/bin" / link).symlink_to(target)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/hostname").write_text("lab\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    shutil.copy(_HERE / "init", root / "lab-init")
    _compile_python(root)


def _compile_python(root: Path) -> None:
    """Compile Python's library here: under emulation it takes a minute.

    Byte code is the same for all architectures, but only for one minor version of Python.
    """
    libraries = [path for path in (root / "usr/lib").glob("python3*") if path.is_dir()]
    if f"python3.{sys.version_info.minor}" not in [path.name for path in libraries]:
        return
    options = ["-q", "-j0", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
    # Debian's library has a file or two that do not compile on purpose.
    subprocess.run(
        [sys.executable, "-m", "compileall", *options, *map(str, libraries)],
        stdout=subprocess.DEVNULL,
        check=False,
    )


def _write_ramdisk(
    architecture: str, version: str, kernel: Path, root: Path, work: Path, ramdisk: Path
) -> None:
    for directory in ("bin", "modules", "dev", "proc", "sys", "root"):
        (work / directory).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", work / "bin/busybox")
    (work / "bin/sh").symlink_to("busybox")
    shutil.copy(_HERE / "ramdisk-init", work / "init")
    modules = _modules(version, kernel, [*MODULES, *KVM_MODULES[architecture]])
    for module in modules:
        shutil.copy(module, work / "modules")
    (work / "modules/order").write_text("".join(f"{module.name}\n" for module in modules))
    names = "".join(f"{path.relative_to(work)}\n" for path in sorted(work.rglob("*")))
    with ramdisk.open("wb") as archive:
        subprocess.run(
            [_tool("cpio"), "--quiet", "-o", "-H", "newc", "-R", "0:0"],
            cwd=work,
            input=names.encode(),
            stdout=archive,
            check=True,
        )


def _modules(version: str, kernel: Path, wanted: list[str]) -> list[Path]:
    """Return the files of modules, each behind those that it needs."""
    subprocess.run([_tool("depmod"), "-b", str(kernel), version], check=True)
    files: dict[Path, None] = {}
    for module in wanted:
        listing = subprocess.run(
            [_tool("modprobe"), "-d", str(kernel), "-S", version, "--show-depends", module],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # "insmod FILE", or "builtin NAME"
        for line in listing.splitlines():
            action, operand = line.split()[:2]
            if action == "insmod":
                files[Path(operand)] = None
    return list(files)


def _write_file_system(root: Path, image: Path) -> None:
    used = sum(path.lstat().st_size + 4096 for path in root.rglob("*"))
    mebibytes = used * 115 // 100 // 2**20 + 24
    options = ["-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0"]
    owner = ["-E", "root_owner=0:0"] if os.getuid() == 0 else []
    subprocess.run(
        [_tool("mke2fs"), *options, *owner, "-d", str(root), str(image), f"{mebibytes}M"],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _tool(name: str) -> str:
    path = find_tool(name)
    if path is None:
        raise DebianError(f"no {name} here")
    return path
