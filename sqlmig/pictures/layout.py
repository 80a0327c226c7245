"""
Where the boxes of a diagram stand and where the lines between them run.

Layers from left to right: a table stands to the right of all that it refers to. All keys that lead to the same columns
share one line, so that a table to which forty others refer has one line and not forty. A layer that would be too high
becomes several. What is drawn depends on what is given alone: the same schema is always the same picture.

Source: K. Sugiyama et al., "Methods for Visual Understanding of Hierarchical System Structures" (1981).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple, TypeAlias

__all__ = ["Box", "Drawing", "Line", "Link", "arrange"]

_GAP = 28.0
"""Between two boxes of a layer."""
_LANE = 16.0
"""What a line needs that passes between two boxes."""
_TRACK = 10.0
"""Between two lines that run side by side from one layer to the next."""
_FEET = 26.0
"""What the ends of a line need in front of a box."""
_RATIO = 1.5
"""Of the width to the height of a diagram, about."""
_SWEEPS = 12
_SMALL_STEP = 12.0
_CLOSE = 4.0
"""Two lines nearer than that look as one."""

Path: TypeAlias = "tuple[tuple[float, float], ...]"
"""Points in a row, each beside the one before, or above or below it."""

End: TypeAlias = "tuple[float, float, int]"
"""Where a line touches a box, and on which side of that: 1 for the right one."""


@dataclass
class Box:
    """
    A table.

    Attributes:
        x, y: Of the left upper corner, once it is arranged.
    """

    key: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Link:
    """
    A line that is wanted, from a child to what it refers to.

    Attributes:
        start, end: How far below the upper edge of its box it begins and ends.
        bundle: Links to one parent with the same share a line.
        data: For whoever draws it.
    """

    child: str
    parent: str
    start: float
    end: float
    bundle: Hashable = None
    data: object = None


@dataclass(frozen=True)
class Line:
    """
    The line of some links.

    Attributes:
        root: Where it leaves the parent.
        ends: Where it comes to each child.
        links: In the order of the ends.
    """

    paths: tuple[Path, ...]
    root: End
    ends: tuple[End, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Drawing:
    """All boxes, which have their places now, and all lines."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def arrange(boxes: Sequence[Box], links: Sequence[Link]) -> Drawing:
    """
    Give each box its place.

    Those that hang together are arranged by themselves, the largest first; below come those that stand alone.
    """
    by_key = {box.key: box for box in boxes}
    groups = _connected(by_key, links)
    joined = [group for group in groups if len(group) > 1 or any(link.child in group for link in links)]
    alone = [by_key[key] for group in groups if group not in joined for key in group]
    parts = [_Part([by_key[key] for key in group], [one for one in links if one.child in group]) for group in joined]
    parts.sort(key=lambda part: -part.width * part.height)
    area = sum((part.width + _GAP) * (part.height + _GAP) for part in parts)
    area += sum((box.width + _GAP) * (box.height + _GAP) for box in alone)
    widest = max([*(part.width for part in parts), *(box.width for box in alone), sqrt(area * _RATIO)], default=0.0)
    width, bottom = _on_shelves(parts, widest)
    if alone:
        right, bottom = _in_columns(alone, widest, bottom)
        width = max(width, right)
    lines = tuple(line for part in parts for line in part.lines)
    return Drawing(width, max(0.0, bottom - _GAP), tuple(boxes), lines)


def _connected(boxes: dict[str, Box], links: Sequence[Link]) -> list[list[str]]:
    """The groups that hang together, each in the order of the boxes."""
    leader = {key: key for key in boxes}

    def lead(key: str) -> str:
        while leader[key] != key:
            key = leader[key]
        return key

    for link in links:
        leader[lead(link.child)] = lead(link.parent)
    groups: dict[str, list[str]] = {}
    for key in boxes:
        groups.setdefault(lead(key), []).append(key)
    return list(groups.values())


def _on_shelves(parts: Sequence[_Part], widest: float) -> tuple[float, float]:
    """Set the parts side by side as long as there is room, then below; how wide it has become, and where it ends."""
    x = y = width = shelf = 0.0
    for part in parts:
        if x and x + part.width > widest:
            x, y, shelf = 0.0, y + shelf, 0.0
        part.move(x, y)
        x += part.width + 2 * _GAP
        width, shelf = max(width, x - 2 * _GAP), max(shelf, part.height + 2 * _GAP)
    return width, y + shelf


def _in_columns(boxes: Sequence[Box], widest: float, top: float) -> tuple[float, float]:
    """Set boxes into columns of one width, each where there is most room; how wide that is, and where it ends."""
    column = max(box.width for box in boxes)
    count = max(1, min(len(boxes), int((widest + _GAP) // (column + _GAP))))
    bottoms = [top] * count
    for box in boxes:
        place = bottoms.index(min(bottoms))
        box.x, box.y, box.width = place * (column + _GAP), bottoms[place], column
        bottoms[place] += box.height + _GAP
    return count * (column + _GAP) - _GAP, max(bottoms)


@dataclass(eq=False)
class _Item:
    """
    What stands in a layer: a box, or the lane by which a line passes between the boxes.

    Attributes:
        place: Which of its layer it is.
        left, right: What it is tied to there: how far below its own upper edge, to what, and how far below that one's.
    """

    height: float
    box: Box | None = None
    y: float = 0.0
    place: int = 0
    left: list[tuple[float, _Item, float]] = field(default_factory=list)
    right: list[tuple[float, _Item, float]] = field(default_factory=list)


class _Pin(NamedTuple):
    """Where a line touches an item."""

    item: _Item
    offset: float
    link: Link | None = None

    @property
    def y(self) -> float:
        return self.item.y + self.offset


@dataclass(eq=False)
class _Hop:
    """
    What one line does between a layer and the next: from one pin to others, by a vertical piece.

    Attributes:
        is_right: Whether the source is in the layer on the right.
        left, right: The others, by the layer that they are in.
        track: Where its vertical piece is.
    """

    source: _Pin
    is_right: bool
    left: list[_Pin] = field(default_factory=list)
    right: list[_Pin] = field(default_factory=list)
    track: int = 0

    def pins(self, *, right: bool) -> list[_Pin]:
        """All on one side."""
        return [*(self.right if right else self.left), *([self.source] if self.is_right is right else [])]

    @property
    def span(self) -> tuple[float, float]:
        heights = [pin.y for pin in (self.source, *self.left, *self.right)]
        return min(heights), max(heights)


@dataclass(eq=False)
class _Net:
    """
    The links that share a line.

    Attributes:
        side: 1 where it leaves the parent to the right, -1 where it does to the left.
        hops: By the layer on whose right they are.
        lanes: By their layer.
    """

    parent: Box
    offset: float
    side: int
    links: list[Link]
    hops: dict[int, _Hop] = field(default_factory=dict)
    lanes: dict[int, _Item] = field(default_factory=dict)


class _Part:
    """
    Boxes that hang together, arranged from (0, 0) on.

    Attributes:
        lines: Once it has been moved to its place.
    """

    def __init__(self, boxes: Sequence[Box], links: Sequence[Link]) -> None:
        self._boxes, self._links = {box.key: box for box in boxes}, links
        self._items = {box.key: _Item(box.height, box) for box in boxes}
        self._layers = self._cut(self._ranks())
        self._layer_of = {item.box.key: n for n, layer in enumerate(self._layers) for item in layer if item.box}
        self._nets = self._bundled()
        for net in self._nets:
            self._lead(net)
        self._order()
        self._set_heights()
        self._edges: list[tuple[float, float]] = []
        self.width, self.height = self._set_widths()
        self.lines: tuple[Line, ...] = ()

    def move(self, x: float, y: float) -> None:
        """Set the whole of it to its place."""
        for box in self._boxes.values():
            box.x, box.y = box.x + x, box.y + y
        self.lines = tuple(self._line(net, x, y) for net in self._nets)

    # Which layer

    def _ranks(self) -> dict[str, int]:
        """How far to the right each table stands: behind all that it refers to, but for what closes a cycle."""
        parents: dict[str, list[str]] = {key: [] for key in self._boxes}
        for link in self._links:
            if link.parent != link.child and link.parent not in parents[link.child]:
                parents[link.child].append(link.parent)
        referring = {key: sum(key in found for found in parents.values()) for key in self._boxes}
        ranks: dict[str, int] = {}
        children: dict[str, list[str]] = {key: [] for key in self._boxes}
        # Those that most others refer to are begun with last, so that a cycle is cut where it costs little.
        for first in sorted(self._boxes, key=lambda key: referring[key]):
            path, begun = [first], {first}
            while path:
                key = path[-1]
                ahead = next((one for one in parents[key] if one not in ranks and one not in begun), None)
                if ahead is not None:
                    path.append(ahead)
                    begun.add(ahead)
                    continue
                path.pop()
                if key not in ranks:
                    before = [one for one in parents[key] if one in ranks]
                    ranks[key] = 1 + max((ranks[one] for one in before), default=-1)
                    for one in before:
                        children[one].append(key)
        return self._closer(ranks, children)

    def _closer(self, ranks: dict[str, int], children: dict[str, list[str]]) -> dict[str, int]:
        """Have those that refer to nothing stand beside what refers to them."""
        referring = {child for found in children.values() for child in found}
        closer = {
            key: min(ranks[child] for child in found) - 1
            for key, found in children.items()
            if found and key not in referring
        }
        return {**ranks, **closer}

    def _cut(self, ranks: dict[str, int]) -> list[list[_Item]]:
        """The layers; one that would be too high is cut into several of about one height."""
        area = sum((box.height + _GAP) * (box.width + 4 * _FEET) for box in self._boxes.values())
        most = max(sqrt(area / _RATIO), *(box.height for box in self._boxes.values()))
        referred = {link.parent for link in self._links if link.parent != link.child}
        layers: list[list[_Item]] = []
        for rank in sorted(set(ranks.values())):
            found = [key for key in self._boxes if ranks[key] == rank]
            # Those that others refer to come last: what refers to them is on the right.
            found.sort(key=lambda key: key in referred)
            total = sum(self._boxes[key].height + _GAP for key in found)
            layer: list[_Item] = []
            height, limit = 0.0, total / max(1, round(total / (most * 1.15)))
            for key in found:
                if layer and height + self._boxes[key].height / 2 > limit:
                    layers.append(layer)
                    layer, height = [], 0.0
                layer.append(self._items[key])
                height += self._boxes[key].height + _GAP
            layers.append(layer)
        return layers

    # Which lines

    def _bundled(self) -> list[_Net]:
        found: dict[Hashable, _Net] = {}
        for link in self._links:
            side = -1 if self._layer_of[link.child] < self._layer_of[link.parent] else 1
            net = _Net(self._boxes[link.parent], link.end, side, [])
            found.setdefault((link.parent, link.end, link.bundle, side), net).links.append(link)
        return list(found.values())

    def _lead(self, net: _Net) -> None:
        """Lead a line through the layers between the parent and its children, and tie together what it connects."""
        home, source = self._layer_of[net.parent.key], _Pin(self._items[net.parent.key], net.offset)
        ends: dict[int, list[_Pin]] = {}
        for link in net.links:
            away = abs(self._layer_of[link.child] - home)
            ends.setdefault(away, []).append(_Pin(self._items[link.child], link.start, link))
        if 0 in ends:
            # Around the corner, into its own box.
            net.hops[home] = _Hop(source, False, left=ends[0])
        for away in range(1, max(ends) + 1):
            layer = home + away * net.side
            targets = ends.get(away, [])
            if away < max(ends):
                lane = net.lanes[layer] = _Item(_LANE)
                self._layers[layer].append(lane)
                targets = [*targets, _Pin(lane, _LANE / 2)]
            left_layer = layer - 1 if net.side > 0 else layer
            hop = net.hops.setdefault(left_layer, _Hop(source, net.side < 0))
            (hop.right if net.side > 0 else hop.left).extend(targets)
            for target in targets:
                one, other = (source, target) if net.side > 0 else (target, source)
                one.item.right.append((one.offset, other.item, other.offset))
                other.item.left.append((other.offset, one.item, one.offset))
            source = targets[-1]

    # In which order, and where

    def _order(self) -> None:
        """By where their neighbours stand, there and back, as long as that spares crossings."""
        for layer in self._layers:
            _number(layer)
        best, order = self._crossings(), [list(layer) for layer in self._layers]
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            for layer in self._layers if forth else reversed(self._layers):
                layer.sort(key=lambda item: _middle(item.left if forth else item.right, item.place))
                _number(layer)
            crossings = self._crossings()
            if crossings < best:
                best, order = crossings, [list(layer) for layer in self._layers]
        self._layers = order
        for layer in self._layers:
            _number(layer)

    def _crossings(self) -> int:
        count = 0
        for layer in self._layers:
            ties = sorted(((item.place, at), (other.place, there)) for item in layer for at, other, there in item.right)
            ends = [end for _, end in ties]
            count += sum(one > other for place, one in enumerate(ends) for other in ends[place + 1 :])
        return count

    def _set_heights(self) -> None:
        for layer in self._layers:
            for before, item in zip([None, *layer], layer, strict=False):
                item.y = before.y + before.height + _between(before, item) if before is not None else 0.0
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            for layer in self._layers if forth else reversed(self._layers):
                # At first by what has its place already.
                _settle(layer, left=forth or sweep > 1, right=not forth or sweep > 1)
        for layer in self._layers:
            _straighten(layer)
        top = min(item.y for layer in self._layers for item in layer)
        for layer in self._layers:
            y = 0.0
            for item in layer:
                # A half would blur the lines.
                item.y = max(round(item.y - top), y)
                y = item.y + item.height
                if item.box is not None:
                    item.box.y = item.y

    def _set_widths(self) -> tuple[float, float]:
        x = 0.0
        for number, layer in enumerate(self._layers):
            width = max((item.box.width for item in layer if item.box is not None), default=0.0)
            for item in layer:
                if item.box is not None:
                    item.box.x, item.box.width = x, width
            self._edges.append((x, x + width))
            hops = [net.hops[number] for net in self._nets if number in net.hops]
            tracks = _set_tracks(hops)
            x += width + (2 * _FEET + max(0, tracks - 1) * _TRACK if hops else 0.0)
        return x, max(item.y + item.height for layer in self._layers for item in layer)

    # The lines as points

    def _line(self, net: _Net, x: float, y: float) -> Line:
        paths: list[Path] = []
        ends: dict[int, End] = {}
        for number, hop in net.hops.items():
            middle = self._edges[number][1] + _FEET + hop.track * _TRACK + x
            start = self._edge(number, right=hop.is_right) + x, hop.source.y + y
            for is_right, pins in ((False, hop.left), (True, hop.right)):
                for pin in pins:
                    end = self._edge(number, right=is_right) + x, pin.y + y
                    paths.append((start, (middle, start[1]), (middle, end[1]), end))
                    if pin.link is not None:
                        ends[id(pin.link)] = (*end, -1 if is_right else 1)
        for number, lane in net.lanes.items():
            left, right = self._edges[number]
            height = lane.y + _LANE / 2 + y
            paths.append(((left + x, height), (right + x, height)))
        root_x = net.parent.x + (net.parent.width if net.side > 0 else 0.0)
        root = (root_x, net.parent.y + net.offset, net.side)
        return Line(tuple(paths), root, tuple(ends[id(link)] for link in net.links), tuple(net.links))

    def _edge(self, number: int, *, right: bool) -> float:
        """Where what lies between a layer and the next begins, or ends."""
        return self._edges[number + 1][0] if right else self._edges[number][1]


def _number(layer: Sequence[_Item]) -> None:
    for place, item in enumerate(layer):
        item.place = place


def _middle(ties: Sequence[tuple[float, _Item, float]], otherwise: float) -> float:
    if not ties:
        return otherwise
    return sum(other.place + there / (other.height + 1) for _, other, there in ties) / len(ties)


def _between(above: _Item, below: _Item) -> float:
    return _GAP if above.box is not None and below.box is not None else 0.0


def _settle(layer: Sequence[_Item], *, left: bool, right: bool) -> None:
    """
    Bring each item as near as the others allow to the height of what it is tied to, in the order that they have.

    Source: R. E. Barlow et al., "Statistical Inference under Order Restrictions" (1972), pool adjacent violators.
    """
    # Blocks of items that touch: where the first of them would be, its weight, and how many they are.
    blocks: list[tuple[float, float, int]] = []
    above: list[float] = []
    before: _Item | None = None
    for item in layer:
        above.append(above[-1] + before.height + _between(before, item) if before is not None else 0.0)
        ties = [*(item.left if left else []), *(item.right if right else [])]
        wish = sum(other.y + there - at for at, other, there in ties) / len(ties) if ties else item.y
        # A line that passes is to be straight; a box can stand where it likes.
        block = (wish - above[-1], 8.0 if item.box is None else 1.0 + len(ties) if ties else 0.1, 1)
        while blocks and blocks[-1][0] > block[0]:
            place, weight, count = blocks.pop()
            total = weight + block[1]
            block = ((place * weight + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
        before = item
    places = [place for place, _, count in blocks for _ in range(count)]
    for item, place, height in zip(layer, places, above, strict=True):
        item.y = place + height


def _straighten(layer: Sequence[_Item]) -> None:
    """Spare lines that are nearly straight their small step, where there is room for it."""
    for place, item in enumerate(layer):
        steps = [other.y + there - item.y - at for at, other, there in item.left]
        step = min(steps, key=abs, default=0.0)
        above = layer[place - 1] if place else None
        below = layer[place + 1] if place + 1 < len(layer) else None
        high = float("-inf") if above is None else above.y + above.height + _between(above, item) / 2
        low = float("inf") if below is None else below.y - _between(item, below) / 2
        if abs(step) <= _SMALL_STEP and high <= item.y + step and item.y + step + item.height <= low:
            item.y += step


def _set_tracks(hops: Sequence[_Hop]) -> int:
    """
    Give each vertical piece a track of its own, as far as they would touch; how many there are.

    A line that comes from the left turns before one that goes to the right at the same height: else they would look as
    one.
    """
    waiting = sorted((hop for hop in hops if hop.span[0] < hop.span[1]), key=lambda hop: hop.span)
    first = {
        id(hop): {
            id(other)
            for other in waiting
            if other is not hop
            and any(abs(a.y - b.y) < _CLOSE for a in other.pins(right=False) for b in hop.pins(right=True))
        }
        for hop in waiting
    }
    track = 0
    while waiting:
        left = {id(hop) for hop in waiting}
        # In a circle there is no such order, and one of them is begun with.
        ready = [hop for hop in waiting if not first[id(hop)] & left] or waiting[:1]
        bottom = float("-inf")
        for hop in ready:
            top, end = hop.span
            if top > bottom + _CLOSE:
                hop.track, bottom = track, end
                waiting.remove(hop)
        track += 1
    return track
