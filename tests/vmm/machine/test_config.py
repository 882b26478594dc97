"""Sizes, configurations, and TOML files of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.errors import UsageError
from vmm.machine.config import MachineConfig, load_config, parse_size
from vmm.value import replace


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64M", 64 << 20), ("64m", 64 << 20), ("2GiB", 2 << 30), ("512KB", 512 << 10)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    try:
        size = parse_size(text)
    except UsageError:
        return
    assert size >= 0
    assert any(letter.isdigit() for letter in text)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"backend": "qemu"}, "'qemu' is not one of"),
        ({"memory": 4096}, "not between"),
        ({"memory": 1 << 50}, "not between"),
        ({"memory": (64 << 20) + 1}, "multiple of 4K"),
        ({"cpus": 17}, "17 vCPUs are not between 1 and 16"),
        ({"arguments": ("a\0b",)}, "NUL"),
        ({"environment": (("", "x"),)}, "environment variable"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        replace(MachineConfig(image="x"), **changes).check()


def test_a_machine_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(
        'image = "hello"\narguments = ["a", "b"]\nmemory = "32M"\n[environment]\nHOME = "/"\n'
    )
    assert load_config(str(path)) == MachineConfig(
        image="hello", arguments=("a", "b"), memory=32 << 20, environment=(("HOME", "/"),)
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image = 1", "'image' cannot be 1"),
        ('image = "x"\nmemroy = 1', "unknown key 'memroy'"),
        ('memory = "64M"', "'image' is missing"),
        ("image = ", "machine.toml"),
        ('image = "x"\nmemory = true', "'memory' cannot be True"),
    ],
)
def test_bad_toml_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "machine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint) as error:
        load_config(str(path))
    assert "\n" not in str(error.value)


def test_missing_toml_is_one_line() -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config("/nonexistent/machine.toml")
