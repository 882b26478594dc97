"""The generators' runner fails loudly."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import generate


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(generate, "GENERATORS", {"make.py": ("product",)})
    return tmp_path


def test_a_missing_generator_is_named(checkout: Path) -> None:
    assert generate.generate(checkout) == "make.py is missing"


def test_a_failing_generator_is_named(checkout: Path) -> None:
    (checkout / "make.py").write_text("raise SystemExit(5)")
    assert generate.generate(checkout) == "make.py failed with exit status 5"


def test_a_missing_product_is_named(checkout: Path) -> None:
    (checkout / "make.py").write_text("")
    assert generate.generate(checkout) == "make.py did not write product"


def test_generators_run_at_the_top_of_the_checkout(checkout: Path) -> None:
    (checkout / "make.py").write_text("open('product', 'w').close()")
    assert generate.generate(checkout) is None
