"""Random numbers after RAM was restored or copied: a new generation draws others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.foreign.images import linux_elf
from vmm import Machine, UsageError

DRAWN = 64
PATIENCE = 30


@contextmanager
def machine(arch: str, backend: str, cmdline: str = "") -> Iterator[Machine]:
    with Machine.service(arch=arch, backend=backend, memory="16M", cmdline=cmdline) as made:
        made.guest.timeout = PATIENCE
        yield made


def draw(made: Machine) -> bytes:
    return made.guest.getrandom(DRAWN, 0)


def ram(made: Machine) -> list[bytes]:
    return [made.memory.read(region.base, region.size) for region in made.memory.regions]


def put_back(made: Machine, image: list[bytes]) -> None:
    """Between two calls the guest waits for the next: then its RAM is all of its past."""
    for region, content in zip(made.memory.regions, image, strict=True):
        made.memory.write(region.base, content)


def test_equal_seeds_part_with_a_new_generation(arch: str, backend: str) -> None:
    with (
        machine(arch, backend, "random.seed=7") as one,
        machine(arch, backend, "random.seed=7") as other,
    ):
        assert draw(one) == draw(other)
        one.new_generation()
        assert draw(one) != draw(other)
        other.new_generation()
        assert draw(one) != draw(other)


def test_the_first_numbers_of_a_generation_are_its_own(arch: str, backend: str) -> None:
    def first() -> bytes:
        with machine(arch, backend, "random.seed=7") as made:
            made.new_generation()
            return draw(made)

    assert first() != first()


@pytest.mark.parametrize("cmdline", ["", "random.seed=7"])
def test_ram_that_comes_back(arch: str, backend: str, cmdline: str) -> None:
    with machine(arch, backend, cmdline) as made:
        drawn = [draw(made)]
        before = ram(made)
        drawn.append(draw(made))
        # Without a word of it, the numbers come back with the RAM.
        put_back(made, before)
        assert draw(made) == drawn[1]
        # From the second generation of the same past on, none does.
        for _ in range(2):
            put_back(made, before)
            made.new_generation()
            drawn.append(draw(made))
        assert len(set(drawn)) == len(drawn)


def test_ram_of_another_machine(arch: str, backend: str) -> None:
    with (
        machine(arch, backend, "random.seed=7") as one,
        machine(arch, backend, "random.seed=8") as other,
    ):
        assert draw(one) != draw(other)
        put_back(other, ram(one))
        other.new_generation()
        assert draw(one) != draw(other)


def test_a_foreign_kernel_has_no_generations(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(linux_elf(b"\xf4"))
    complaint = "only Calypso's own kernel has generations"
    with Machine(kernel, backend="unicorn") as made, pytest.raises(UsageError, match=complaint):
        made.new_generation()
