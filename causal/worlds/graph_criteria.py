"""What a causal graph allows: adjustment sets, instruments and identifiable effects."""

from collections.abc import Sequence

from causal.worlds.dags import Dag, bits, children, closure, separated, subsets


def ancestors(dag: Dag, x: int) -> int:
    """Return the mask of all causes of a node, direct or not; it is none of its own."""
    return closure(dag[x], dag) & ~(1 << x)


def is_back_door(dag: Dag, x: int, y: int, given: int) -> bool:
    """Whether adjusting for a set identifies the effect by the back-door criterion.

    Source: Pearl 2009, definition 3.3.1.
    """
    below = closure(1 << x, children(dag))
    return not (below | 1 << y) & given and separated(_without_out(dag, x), x, y, given)


def is_front_door(dag: Dag, x: int, y: int, given: int) -> bool:
    """Whether a set meets the front-door criterion.

    It meets every directed path from x to y, nothing confounds x with it, and x blocks every back
    door from it to y.

    Source: Pearl 2009, definition 3.3.3.
    """
    if given & (1 << x | 1 << y):
        return False
    cut = tuple(0 if given >> v & 1 else m & ~given for v, m in enumerate(dag))
    if not given or closure(1 << x, children(cut)) >> y & 1:
        return False
    doors = _without_out(dag, x)
    if any(not separated(doors, x, z, 0) for z in bits(given)):
        return False
    after = tuple(m & ~given for m in dag)
    return all(separated(after, z, y, 1 << x) for z in bits(given))


def are_instruments(dag: Dag, x: int, y: int, given: int) -> bool:
    """Whether every one of some variables causes x, and is related to y by way of x alone.

    Source: Pearl 2009, definition 7.4.1, without covariates, and with a cause for what is related.
    """
    if not given or given & ~ancestors(dag, x) or x == y:
        return False
    doors = _without_out(dag, x)
    return all(separated(doors, z, y, 0) for z in bits(given))


def is_identifiable(dag: Dag, joined: Sequence[int], x: int, y: int) -> bool:
    """Whether observations determine P(y | do(x)); `joined[v]` are what hidden causes join to v.

    Source: Tian & Pearl 2002, which Huang & Valtorta 2006 prove complete.
    """
    return hidden_part(dag, joined, x, y) == 0


def hidden_part(dag: Dag, joined: Sequence[int], x: int, y: int) -> int:
    """Return causes of y whose joint law without x is not identifiable, 0 where all is."""
    if x == y or not ancestors(dag, y) >> x & 1:
        return 0
    every = (1 << len(dag)) - 1
    wanted = _within(1 << y, dag, every & ~(1 << x))
    parts = sorted({_within(1 << v, joined, wanted) for v in bits(wanted)})
    return next((p for p in parts if not _identifies(dag, joined, p, _within(p, joined, every))), 0)


def is_smallest_back_door(dag: Dag, x: int, y: int, given: int) -> bool:
    """Whether a set is valid and no part of it is."""
    return is_back_door(dag, x, y, given) and not any(
        s != given and is_back_door(dag, x, y, s) for s in subsets(given)
    )


def _without_out(dag: Dag, x: int) -> Dag:
    return tuple(m & ~(1 << x) for m in dag)


def _within(start: int, step: Sequence[int], kept: int) -> int:
    return closure(start, tuple(m & kept for m in step))


def _identifies(dag: Dag, joined: Sequence[int], part: int, within: int) -> bool:
    above = _within(part, dag, within)
    if above in (part, within):
        return above == part
    return _identifies(dag, joined, part, _within(part, joined, above))
