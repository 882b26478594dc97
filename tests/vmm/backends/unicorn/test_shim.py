"""The bytes of the native hooks are what their comments say, for both hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.vmm.backends.assemble import assemble
from vmm.backends.unicorn import shim

LISTING = re.compile(
    r"^(_(?:X86_64|AARCH64)_\w+): Final = (\(\n.*?^\)|\".*?)$", re.MULTILINE | re.DOTALL
)
LINE = re.compile(r'^ *"([0-9a-f]*)" *# *(?:(\w+:) )? *(.*?)(?: {2,}\(.*)?$', re.MULTILINE)


def listings() -> dict[str, str]:
    return dict(LISTING.findall(Path(shim.__file__).read_text()))


@pytest.mark.parametrize("name", sorted(listings()))
def test_bytes_and_comments_agree(name: str) -> None:
    lines = LINE.findall(listings()[name])
    arch = "x86_64" if name.startswith("_X86_64") else "arm64"
    text = "\n".join(f"{label} {instruction}" for _, label, instruction in lines)
    if arch == "x86_64":
        text = text.replace("bt   [rdx]", "bt dword ptr [rdx]").replace(
            "cmp  qword", "cmp qword ptr"
        )
        text = text.replace("inc  qword", "inc qword ptr").replace("jmp  [", "jmp qword ptr [")
    assert assemble(arch, text, 0).code.hex() == getattr(shim, name)
    assert lines


def test_all_routines_fit() -> None:
    names = set(listings())
    assert names == {
        f"_{host}_{routine}"
        for host in ("X86_64", "AARCH64")
        for routine in ("DISPATCH", "STOP", "COUNT", "NOTHING")
    }
    assert all(len(getattr(shim, name)) // 2 <= shim._SPACING for name in names)


def test_code_is_never_writable() -> None:
    page = shim.map_code(b"\xc3" * 5000)
    assert page is not None
    assert len(page) == 8192
    with pytest.raises(TypeError):
        page[0] = 0
    assert shim.map_code(b"") is None
