"""The rank-balanced tree against a sorted set."""

from __future__ import annotations

from math import log2
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.hostlib import ffi, kernel

KEYS = st.integers(0, 60)
OPERATIONS = st.lists(st.tuples(st.booleans(), KEYS), max_size=300)


def keys(lib: Any, count: int, descending: bool = False) -> list[int]:
    buffer = ffi.new("uint64_t[]", count + 1)
    found = lib.tree_keys(buffer, descending)
    return list(buffer[0:found])


@settings(max_examples=300)
@given(OPERATIONS)
def test_is_a_set_in_order(operations: list[tuple[bool, int]]) -> None:
    model: set[int] = set()
    with kernel() as lib:
        for insert, key in operations:
            if insert:
                assert lib.tree_insert(key) == (key not in model)
                model.add(key)
            else:
                assert lib.tree_remove(key) == (key in model)
                model.discard(key)
            assert lib.tree_valid()
        assert keys(lib, len(model)) == sorted(model)
        assert keys(lib, len(model), descending=True) == sorted(model, reverse=True)


@given(st.permutations(range(200)), st.sets(st.integers(0, 199)))
def test_height_is_bounded(order: list[int], removed: set[int]) -> None:
    with kernel() as lib:
        for key in order:
            lib.tree_insert(key)
        # With insertions only it is an AVL tree.
        assert lib.tree_height() <= 1.4405 * log2(len(order) + 2)
        for key in removed:
            lib.tree_remove(key)
        left = len(order) - len(removed)
        assert lib.tree_valid()
        assert lib.tree_height() <= 2 * log2(left + 1)
