"""Real programs as input for tests, from Debian's packages, in a cache outside the checkout."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.debian import DebianError, Release, cache_directory, extract, open_release

# One release for all, so that output can be compared byte for byte wherever the tests run.
SUITE = "bookworm"

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}


def busybox(arch: str) -> Path:
    """Return the statically linked busybox of Debian for ``arch`` (``x86_64`` or ``arm64``).

    Raises:
        DebianError: where it is not in the cache and cannot be fetched.
    """
    return package("busybox-static", arch) / "bin/busybox"


def linux(arch: str, flavour: str = "cloud") -> Path:
    """Return Debian's kernel, a bzImage (``x86_64``) or an Image (``arm64``).

    ``flavour`` is ``cloud``, for virtual machines, or ``generic``, which has more modules.

    Raises:
        DebianError: where it is not in the cache and cannot be fetched.
    """
    infix = "cloud-" if flavour == "cloud" else ""
    name = f"linux-image-{infix}{ARCHITECTURES[arch]}"
    # The package of this name only depends on the one of the newest version.
    unpacked = _unpacked(name, arch, lambda release: release.dependencies(name)[:1])
    [kernel] = unpacked.glob("boot/vmlinuz-*")
    return kernel


def package(name: str, arch: str) -> Path:
    """Return the directory with the unpacked files of a package, fetched on first use.

    Raises:
        DebianError: where it is not in the cache and cannot be fetched.
    """
    return _unpacked(name, arch, lambda _: [name])


def _unpacked(name: str, arch: str, choose: Callable[[Release], list[str]]) -> Path:
    """Return the directory ``name`` of the cache, filled with the packages that were chosen."""
    architecture = ARCHITECTURES[arch]
    inputs = cache_directory() / "inputs"
    unpacked = inputs / f"{SUITE}-{architecture}" / name
    if unpacked.exists():
        return unpacked
    try:
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=inputs) as scratch:
            files = Path(scratch, "files")
            files.mkdir()
            with open_release(SUITE, architecture) as release:
                extract(release.download(choose(release)), files)
            # Whoever fetches the same at the same time may have been first: both are alike.
            if not unpacked.exists():
                files.rename(unpacked)
    except (DebianError, OSError) as error:
        raise DebianError(f"Debian's {name} for {architecture} cannot be had: {error}") from error
    return unpacked


def main() -> int:
    """Fetch a package and print where its files are."""
    parser = argparse.ArgumentParser(
        prog="fetch-inputs",
        description="Fetch a Debian package into the cache and print where its files are.",
    )
    parser.add_argument("package", help="for instance busybox-static")
    parser.add_argument("arch", choices=sorted(ARCHITECTURES))
    parser.add_argument("file", nargs="?", default="", help="print the path of this file of it")
    arguments = parser.parse_args()
    try:
        found = package(arguments.package, arguments.arch) / arguments.file.lstrip("/")
    except DebianError as error:
        print(f"fetch-inputs: {error}", file=sys.stderr)
        return 1
    if not found.exists():
        print(f"fetch-inputs: {arguments.package} has no {arguments.file}", file=sys.stderr)
        return 1
    print(found)
    return 0
