"""The Python side of the ABI is what a C compiler makes of the header."""

from __future__ import annotations

import re
from pathlib import Path
from struct import Struct

import pytest

from tests.vmm.hypercall.host_c import ABI_HEADER, compile_c, run_c
from vmm.boot.bootinfo import Bootinfo
from vmm.boot.layout import Region
from vmm.hypercall import abi

HEADER = ABI_HEADER.read_text()
WITHOUT_COMMENTS = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
CONSTANTS = re.findall(
    r"^(?:#define |\t)(CALYPSO_\w+)[ =]+[\w(]", WITHOUT_COMMENTS, flags=re.MULTILINE
)
STRUCTURES = {
    name: re.findall(r"(\w+)(?:\[\w+\])?;", body)
    for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", WITHOUT_COMMENTS, re.M | re.DOTALL)
}

# The fields of each structure on the Python side, in the order of its format.
PYTHON_FIELDS = {
    "calypso_region": (abi.REGION, list(Region.__slots__)),
    "calypso_bootinfo": (abi.BOOTINFO, ["magic", "version", "size", *Bootinfo.__slots__]),
    "calypso_generation": (abi.GENERATION, ["number", "seed"]),
    "calypso_request": (abi.REQUEST, ["service", "flags", "result", "arguments"]),
    "calypso_ring": (
        abi.RING,
        [
            *("magic", "version", "size"),
            *("submission_offset", "submission_count", "completion_offset", "completion_count"),
            *("window_offset", "window_length", "window_address", "features"),
            *("submission_tail", "completion_head", "submission_head", "completion_tail"),
        ],
    ),
    "calypso_submission": (
        abi.SUBMISSION,
        ["tag", "operation", "flags", "task", "number", "arguments"],
    ),
    "calypso_completion": (abi.COMPLETION, ["tag", "result"]),
}


@pytest.fixture(scope="module")
def header_facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Values of constants, sizes of structures, offsets of fields, as the compiler sees them."""
    lines = [f'printf("{name} %llu\\n", (unsigned long long){name});' for name in CONSTANTS]
    for name, fields in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));'
            for field in fields
        ]
    source = "#include <stdio.h>\n#include <calypso/abi.h>\nint main(void)\n{\n%s\n}\n"
    program = compile_c(source % "\n".join(lines), Path(tmp_path_factory.mktemp("abi")))
    return {name: int(number) for name, number in run_c(program)}


def test_the_header_was_understood() -> None:
    assert len(CONSTANTS) > 30
    assert set(STRUCTURES) == set(PYTHON_FIELDS)


def test_constants(header_facts: dict[str, int]) -> None:
    expected = {name: header_facts[name] for name in CONSTANTS}
    actual = {name: getattr(abi, name.removeprefix("CALYPSO_"), None) for name in CONSTANTS}
    assert actual == expected


@pytest.mark.parametrize("structure", PYTHON_FIELDS)
def test_structures(structure: str, header_facts: dict[str, int]) -> None:
    layout, fields = PYTHON_FIELDS[structure]
    assert fields == STRUCTURES[structure]
    assert layout.size == header_facts[structure]
    assert offsets(layout, fields) == {
        field: header_facts[f"{structure}.{field}"] for field in fields
    }


def test_offsets_within_bootinfo(header_facts: dict[str, int]) -> None:
    assert header_facts["calypso_bootinfo.features"] == abi.BOOTINFO_FEATURES_OFFSET


def test_offsets_within_a_request(header_facts: dict[str, int]) -> None:
    assert header_facts["calypso_request.result"] == abi.REQUEST_RESULT_OFFSET
    assert header_facts["calypso_request.arguments"] == abi.REQUEST_ARGUMENTS_OFFSET


def test_offsets_within_the_ring(header_facts: dict[str, int]) -> None:
    assert header_facts["calypso_ring.window_address"] == abi.RING_WINDOW_ADDRESS_OFFSET
    assert header_facts["calypso_ring.submission_tail"] == abi.RING_INDICES_OFFSET


def test_the_magic_spells_the_name() -> None:
    assert abi.BOOTINFO_MAGIC.to_bytes(8, "little") == b"CALYPSO\0"


def offsets(layout: Struct, fields: list[str]) -> dict[str, int]:
    """Where each field starts, from the format alone: the codes before it."""
    codes = re.findall(r"\d*\w", layout.format.lstrip("<"))
    assert len(codes) == len(fields)
    return {field: Struct("<" + "".join(codes[:i])).size for i, field in enumerate(fields)}
