"""The order of a plan's rows, with and without cycles."""

import random

import pytest

from odibi_nb.core.planning.graph import MAX_CYCLES, in_order


@pytest.mark.parametrize("seed", range(20))
def test_every_id_comes_after_the_ids_that_it_needs(seed):
    """An id comes after all ids that it needs, in any order of the registry's rows."""
    chance = random.Random(seed)
    ids = [f"R{n}" for n in range(50)]
    needs = {one: {*chance.sample(ids[:n], min(n, 3))} for n, one in enumerate(ids)}
    edges = {one: needs[one] for one in chance.sample(ids, len(ids))}
    order, acyclic, cycles = in_order(edges)
    place = {one: n for n, one in enumerate(order)}
    assert sorted(order) == sorted(ids)
    assert acyclic == edges
    assert cycles == []
    assert all(place[other] < place[one] for one, needed in edges.items() for other in needed)


def test_ids_of_a_cycle_and_behind_it_are_in_the_order():
    """A cycle is reported, and the ids in it and behind it still have a place in the order."""
    edges = {"first": set(), "a": {"b", "first"}, "b": {"a"}, "behind": {"a"}, "self": {"self"}}
    order, acyclic, cycles = in_order(edges)
    assert cycles == [("a", "b", "a"), ("self", "self")]
    assert sorted(order) == sorted(edges)
    assert acyclic["behind"] == {"a"}
    assert order.index("first") < order.index("a") < order.index("behind")


def test_a_plan_of_many_cycles_is_still_ordered():
    """After the first cycles the search ends: all ids are in the order, and none waits for another one."""
    edges = {f"{name}{n}": {f"{other}{n}"} for n in range(20) for name, other in ("ab", "ba")}
    order, acyclic, cycles = in_order(edges)
    assert len(cycles) == MAX_CYCLES
    assert sorted(order) == sorted(edges)
    assert acyclic == {name: set() for name in edges}
