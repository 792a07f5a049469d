"""Where, in a tensor, the positions are that a :class:`Sight` speaks of, and how reshaping and joining moves them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from convlayers.inspect.relation import Relation, constant, placed, repeated, same_for_all, table, whole, window
from convlayers.inspect.sight import Sight


class Factor(NamedTuple):
    """A part of a tensor's dimension: so many positions, along an axis of the input or (None) of something else.

    A dimension of height * width tokens has two factors; one of height * 2 rows after a pixel shuffle as well.
    """

    size: int
    axis: int | None


class Place(NamedTuple):
    """A tensor that sees the input.

    Attributes:
        sight: what its positions see.
        dims: the factors of each dimension, the outermost first. An axis that has no factor here is seen alike by all.
    """

    sight: Sight
    dims: tuple[tuple[Factor, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(factor.size for factor in dim) for dim in self.dims)

    def axes(self, dims: Iterable[int] | None = None) -> list[int]:
        """The input's axes that these dimensions (all unless given) have a part in."""
        chosen = range(len(self.dims)) if dims is None else dims
        return [factor.axis for dim in chosen for factor in self.dims[dim] if factor.axis is not None]

    def read(self, relations: dict[int, Relation], dims: Sequence[tuple[Factor, ...]], exact: bool = True) -> Place:
        """A tensor whose positions read this one's by a relation for each of these axes."""
        sight = self.sight
        if relations or not exact:
            sight = Sight.union([(sight, [relations.get(axis) for axis in range(len(sight.size))])], exact)
        return Place(sight, tuple(dims))

    def blurred(self, axes: Iterable[int], exact: bool = True) -> Place:
        """The same where each position sees all of these axes that there is to see."""
        axes = set(axes)
        dims = [tuple(Factor(n, None if a in axes else a) for n, a in dim) for dim in self.dims]
        return self.read({axis: whole(self.sight.size[axis]) for axis in axes}, dims, exact)

    def mixed(self, dims: Iterable[int]) -> Place:
        """The same after all positions along these dimensions have been mixed."""
        return self.blurred(self.axes(dim % len(self.dims) for dim in dims))

    def reduced(self, dims: Iterable[int], keepdim: bool) -> Place:
        """The same with these dimensions summed up."""
        gone = {dim % len(self.dims) for dim in dims}
        blurred = self.blurred(self.axes(gone))
        kept = []
        for dim, factors in enumerate(blurred.dims):
            if dim not in gone:
                kept.append(factors)
            elif keepdim:  # still an axis of the input, with one position
                axes = self.axes([dim])
                kept.append((Factor(1, axes[0] if len(axes) == 1 else None),))
        return Place(blurred.sight, tuple(kept))

    def single(self, dim: int) -> Place:
        """The same with one factor in this dimension: what is around an input's axis becomes part of its positions."""
        factors = self.dims[dim]
        tracked = [i for i, factor in enumerate(factors) if factor.axis is not None]
        if len(tracked) > 1:  # two axes in one dimension: no position of it is a position of either
            return self.blurred(self.axes([dim]), exact=False).single(dim)
        size = math.prod(factor.size for factor in factors)
        if not tracked or len(factors) == 1:
            return self.replaced(dim, Factor(size, factors[0].axis if tracked else None))
        (at,) = tracked
        outer, inner = (math.prod(factor.size for factor in part) for part in (factors[:at], factors[at + 1 :]))
        axis = factors[at].axis
        assert axis is not None
        relation = repeated(factors[at].size, outer, inner)
        return self.read({axis: relation}, self.replaced(dim, Factor(size, axis)).dims)

    def replaced(self, dim: int, *factors: Factor) -> Place:
        """The same with other factors in this dimension."""
        return Place(self.sight, (*self.dims[:dim], tuple(factors), *self.dims[dim + 1 :]))

    def along(self, dim: int, relation: Relation) -> Place:
        """A tensor that reads this one by a relation along a dimension, whatever that dimension is of."""
        whole_dim = self.single(dim)
        axis = whole_dim.dims[dim][0].axis
        dims = whole_dim.replaced(dim, Factor(relation.outputs, axis)).dims
        return whole_dim.read({} if axis is None else {axis: relation}, dims)

    def picked(self, dim: int, index: Tensor) -> Place:
        """These positions of a dimension."""
        return self.along(dim, table(index[:, None]))

    def reshaped(self, shape: Sequence[int]) -> Place:
        """The same elements in another shape."""
        if tuple(shape) == self.shape:
            return self
        factors = [factor for dim in self.dims for factor in dim if factor.size > 1]
        dims: list[tuple[Factor, ...]] = []
        relations: dict[int, Relation] = {}
        for size in shape:
            dim: list[Factor] = []
            while size > 1:
                if not factors:
                    return self._lost(shape)
                factor = factors.pop(0)
                if size % factor.size == 0:
                    dim.append(factor)
                    size //= factor.size
                elif factor.size % size == 0:  # the outer part stays an axis, of blocks
                    inner = factor.size // size
                    dim.append(Factor(size, factor.axis))
                    factors.insert(0, Factor(inner, None))
                    if factor.axis is not None:
                        if factor.axis in relations:
                            return self._lost(shape)
                        relations[factor.axis] = window(size, kernel=inner, stride=inner)
                    size = 1
                else:
                    return self._lost(shape)
            dims.append(tuple(dim) or (Factor(1, None),))
        return self.read(relations, dims)

    def _lost(self, shape: Sequence[int]) -> Place:
        blurred = self.blurred(self.axes(), exact=not self.axes())
        return Place(blurred.sight, tuple((Factor(size, None),) for size in shape))


def untracked(sight: Sight, shape: Sequence[int]) -> Place:
    """A tensor all of whose positions see the same."""
    return Place(sight, tuple((Factor(size, None),) for size in shape))


def joined(places: Sequence[Place], shape: Sequence[int]) -> Place:
    """What an elementwise operator on these gives, broadcast to a shape."""
    places = _alike([_padded(place, len(shape)) for place in places], shape)
    while True:
        dims, clash = _common(places, shape)
        if not clash:
            break
        places = [place.blurred(clash & set(place.axes()), exact=not clash & set(place.axes())) for place in places]
    tied = {factor.axis: factor.size for dim in dims for factor in dim if factor.axis is not None}
    sources: list[tuple[Sight, list[Relation | None]]] = []
    for place in places:
        size = place.sight.size
        spread = [same_for_all(tied[a]) if tied.get(a, 1) != size[a] else None for a in range(len(size))]
        if all(sight is not place.sight or relations != spread for sight, relations in sources):
            sources.append((place.sight, spread))
    if len(sources) == 1 and not any(sources[0][1]):
        return Place(sources[0][0], dims)
    return Place(Sight.union([(sight, relations) for sight, relations in sources]), dims)


def _padded(place: Place, rank: int) -> Place:
    return Place(place.sight, ((Factor(1, None),),) * (rank - len(place.dims)) + place.dims)


def _alike(places: list[Place], shape: Sequence[int]) -> list[Place]:
    """The same with one factor in the dimensions that they cut up differently."""
    for dim, size in enumerate(shape):
        tracked = [p for p in places if p.shape[dim] == size and p.axes([dim])]
        if len({tuple(factor.size for factor in p.dims[dim]) for p in tracked}) > 1:
            places = [p.single(dim) if p.axes([dim]) else p for p in places]
    return places


def _common(places: Sequence[Place], shape: Sequence[int]) -> tuple[tuple[tuple[Factor, ...], ...], set[int]]:
    """The factors of the result, and the axes that would have two places in it, or whose factors do not meet."""
    dims: list[tuple[Factor, ...]] = []
    clash: set[int] = set()
    for dim, size in enumerate(shape):
        given = [place.dims[dim] for place in places if place.shape[dim] == size]
        tracked = list(dict.fromkeys(d for d in given if any(factor.axis is not None for factor in d)))
        if size == 1 or not tracked:
            dims.append(tracked[0] if tracked else given[0] if given else (Factor(size, None),))
            continue
        first = tracked[0]
        for other in tracked[1:]:
            if [f.size for f in first] != [f.size for f in other]:
                clash |= {f.axis for d in (first, other) for f in d if f.axis is not None}
                continue
            pairs = list(zip(first, other, strict=True))
            clash |= {
                a for f, g in pairs if f.axis is not None and g.axis not in (None, f.axis) for a in (f.axis, g.axis)
            }
            first = tuple(f if f.axis is not None else g for f, g in pairs)
        dims.append(first)
    axes = [factor.axis for dim in dims for factor in dim if factor.axis is not None]
    return tuple(dims), clash | {axis for axis in axes if axes.count(axis) > 1}


def concatenated(parts: Sequence[tuple[int, Place | None]], dim: int, shape: Sequence[int]) -> Place:
    """Tensors one after the other along a dimension: the size of each along it, and where it is known, its place."""
    total, start = shape[dim], 0
    known: list[tuple[int, int, Place]] = []
    for size, place in parts:
        if place is not None:
            known.append((start, size, place.single(dim)))
        start += size
    axes = {axis for _, _, place in known if (axis := place.dims[dim][0].axis) is not None}
    if not axes:
        return joined([place.replaced(dim, Factor(total, None)) for _, _, place in known], shape)
    if len(axes) > 1:
        return concatenated([(n, p and p.blurred(axes & set(p.axes()), exact=False)) for n, p in parts], dim, shape)
    (axis,) = axes
    whole_places = []
    for start, size, place in known:
        relation = placed(total, start, 1, size)
        if place.dims[dim][0].axis is None:
            elsewhere = set(place.axes()) & {axis}
            place = place.blurred(elsewhere, exact=not elsewhere)
            relation = constant(total, start, size)
        whole_places.append(place.read({axis: relation}, place.replaced(dim, Factor(total, axis)).dims))
    return joined(whole_places, shape)
