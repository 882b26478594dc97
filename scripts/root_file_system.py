"""Root file systems of real programs: Debian packages with all they need, as cpio archives."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from scripts.debian import DebianError, cache_directory, extract, open_release
from scripts.inputs import ARCHITECTURES, SUITE

# What no program needs to run, and half of what packages hold.
LEFT_OUT = tuple(f"usr/share/{name}" for name in ("doc", "i18n", "info", "locale", "man"))

# Directories that Debian has merged into /usr; packages of that release still name both.
MERGED = ("bin", "lib", "lib64", "sbin")


def root_file_system(packages: Sequence[str], arch: str) -> Path:
    """Return a directory with the files of packages and of all they need, fetched on first use.

    Raises:
        DebianError: where they are not in the cache and cannot be fetched.
    """
    architecture = ARCHITECTURES[arch]
    roots = cache_directory() / "roots"
    root = roots / f"{SUITE}-{architecture}" / "+".join(sorted(packages))
    if root.exists():
        return root
    names = " ".join(packages)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="root.", dir=roots) as scratch:
            files = Path(scratch, "files")
            files.mkdir()
            _merge_usr(files)
            with open_release(SUITE, architecture) as release:
                extract(release.download_with_dependencies(packages), files)
            _prune(files)
            # Whoever fetches the same at the same time may have been first: both are alike.
            if not root.exists():
                files.rename(root)
    except (DebianError, OSError) as error:
        raise DebianError(f"Debian's {names} for {architecture} cannot be had: {error}") from error
    return root


def make_initrd(packages: Sequence[str], arch: str) -> Path:
    """Return the same as a cpio archive (newc), beside the directory.

    Raises:
        DebianError: where the packages cannot be had.
    """
    root = root_file_system(packages, arch)
    archive = root.with_name(root.name + ".cpio")
    if not archive.exists():
        with tempfile.NamedTemporaryFile(dir=root.parent, delete=False) as scratch:
            write_archive(root, scratch)
        os.replace(scratch.name, archive)
    return archive


def _merge_usr(root: Path) -> None:
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp"):
        (root / name).mkdir()


def _prune(root: Path) -> None:
    for path in LEFT_OUT:
        shutil.rmtree(root / path, ignore_errors=True)


# ---- The archive ----


def write_archive(root: Path, archive: IO[bytes]) -> None:
    """Write everything below ``root`` as a cpio archive of the form newc, in order of names."""
    for path in (root, *_walk(root)):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            content = os.fsencode(os.readlink(path))
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        else:
            content = b""
        _write_member(archive, str(path.relative_to(root)), status, content)
    _write_member(archive, "TRAILER!!!", None, b"")


def _walk(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _write_member(
    archive: IO[bytes], name: str, status: os.stat_result | None, content: bytes
) -> None:
    # Several names of one file become files of their own: each says that it has one name.
    mode, time = (status.st_mode, int(status.st_mtime)) if status else (0, 0)
    encoded = os.fsencode(name) + b"\0"
    fields = (0, mode, 0, 0, 1, time, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    archive.write(header + bytes(-len(header) % 4))
    archive.write(content + bytes(-len(content) % 4))


def main() -> int:
    """Make an archive of packages and print where it is."""
    parser = argparse.ArgumentParser(
        prog="make-initrd",
        description="Make a root file system of Debian packages with all they depend on, as a cpio "
        "archive for --initrd, and print where it is.",
    )
    parser.add_argument("arch", choices=sorted(ARCHITECTURES))
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="for instance python3")
    parser.add_argument("--directory", action="store_true", help="print where the files are")
    arguments = parser.parse_args()
    make = root_file_system if arguments.directory else make_initrd
    try:
        print(make(arguments.packages, arguments.arch))
    except DebianError as error:
        print(f"make-initrd: {error}", file=sys.stderr)
        return 1
    return 0
