"""The trees against sorted sets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import log2
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guest.hostlib import ffi, kernel

KEYS = st.integers(0, 60)
ACTIONS = st.sampled_from(["add", "remove", "find", "below", "above"])
STEPS = st.lists(st.tuples(ACTIONS, KEYS), max_size=120)
NOTHING = 2**64 - 1


class Tree:
    """One of the two, with the methods of a set."""

    def __init__(self, lib: Any, kind: str) -> None:
        for name in ("add", "remove", "find", "nearest", "valid", "height", "depth"):
            setattr(self, name, getattr(lib, f"{kind}_{name}"))
        self._keys = getattr(lib, f"{kind}_keys")

    def keys(self, count: int, descending: bool = False) -> list[int]:
        buffer = ffi.new("uint64_t[]", count + 1)
        return list(buffer[0 : self._keys(buffer, descending)])


def expected(model: set[int], action: str, key: int) -> int:
    keys = sorted(model)
    if action == "find":
        return key if key in model else NOTHING
    if action == "below":
        index = bisect_right(keys, key) - 1
        return keys[index] if index >= 0 else NOTHING
    index = bisect_left(keys, key)
    return keys[index] if index < len(keys) else NOTHING


@pytest.mark.parametrize("kind", ["rank", "splay"])
@settings(max_examples=100)
@given(steps=STEPS)
def test_is_a_set_in_order(kind: str, steps: list[tuple[str, int]]) -> None:
    model: set[int] = set()
    with kernel() as lib:
        tree: Any = Tree(lib, kind)
        for action, key in steps:
            if action == "add":
                assert tree.add(key) == (key not in model)
                model.add(key)
            elif action == "remove":
                assert tree.remove(key) == (key in model)
                model.discard(key)
            elif action == "find":
                assert tree.find(key) == expected(model, action, key)
            else:
                assert tree.nearest(key, action == "above") == expected(model, action, key)
            assert tree.valid()
        assert tree.keys(len(model)) == sorted(model)
        assert tree.keys(len(model), descending=True) == sorted(model, reverse=True)


@settings(max_examples=20)
@given(st.permutations(range(200)), st.sets(st.integers(0, 199)))
def test_the_rank_trees_height_is_bounded(order: list[int], removed: set[int]) -> None:
    with kernel() as lib:
        tree: Any = Tree(lib, "rank")
        for key in order:
            tree.add(key)
        # With insertions only it is an AVL tree.
        assert tree.height() <= 1.4405 * log2(len(order) + 2)
        for key in removed:
            tree.remove(key)
        left = len(order) - len(removed)
        assert tree.valid()
        assert tree.height() <= 2 * log2(left + 1)


@settings(max_examples=20)
@given(st.permutations(range(100)), st.integers(0, 99))
def test_what_was_accessed_is_the_splay_trees_root(order: list[int], key: int) -> None:
    with kernel() as lib:
        tree: Any = Tree(lib, "splay")
        for added in order:
            tree.add(added)
            assert tree.depth(added) == 0
        tree.find(key)
        assert tree.depth(key) == 0
        tree.remove(key)
        tree.nearest(key, True)
        assert key == 99 or tree.depth(key + 1) == 0


def test_a_splay_tree_that_became_a_list_does_not_stay_one() -> None:
    count = 512
    with kernel() as lib:
        tree: Any = Tree(lib, "splay")
        for key in range(count):
            tree.add(key)
        assert tree.height() == count
        # Each access about halves the depth of what it passes.
        tree.find(0)
        assert tree.height() <= count // 2 + 2
        for key in range(0, count, 16):
            tree.find(key)
        assert tree.height() <= count // 8
        assert tree.valid()
