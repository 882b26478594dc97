"""A small Linux system around Debian's kernel: busybox, some modules, and a script that runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.vmm.images.newc import Archive

PROLOGUE = """#!/bin/sh
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in {modules}; do insmod /modules/$module.ko || echo $module is missing; done
"""

EPILOGUE = "\npoweroff -f\n"


def initrd(
    kernel: Path, busybox: Path, modules: list[str], script: str, programs: Sequence[Path] = ()
) -> bytes:
    """Return an archive whose init loads ``modules``, runs ``script`` and switches off.

    Names of static ``programs`` end at their first hyphen in it.
    """
    tree = kernel.parent.parent / "lib/modules"
    order = in_order(tree, modules)
    names = " ".join(path.stem for path in order)
    archive = Archive()
    for directory in ("bin", "modules"):
        archive.directory(directory)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    for program in programs:
        name = program.name.partition("-")[0]
        archive.file(f"bin/{name}", program.read_bytes(), 0o755)
    for applet in ("sh", "mkdir", "mount", "insmod", "poweroff"):
        archive.symlink(f"bin/{applet}", "busybox")
    for path in order:
        archive.file(f"modules/{path.name}", path.read_bytes())
    archive.file("init", (PROLOGUE.format(modules=names) + script + EPILOGUE).encode(), 0o755)
    return archive.build()


def in_order(tree: Path, modules: list[str]) -> list[Path]:
    """Return the files of ``modules`` and all they depend on, those first."""
    files = {_plain(path.stem): path for path in tree.rglob("*.ko")}
    order: list[Path] = []

    def add(name: str) -> None:
        path = files[_plain(name)]
        if path in order:
            return
        found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
        for needed in found[1].decode().split(",") if found and found[1] else ():
            add(needed)
        order.append(path)

    for module in modules:
        add(module)
    return order


def _plain(name: str) -> str:
    """The kernel takes both signs in a module's name for the same."""
    return name.replace("-", "_")
