"""When things happened, as a part of the twin: events of the engine, and how many files changed when."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ..units import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.store.timeline import EngineEvent
    from layerfs.model import LayerInfo

__all__ = ["FileTimes", "timeline_part"]

_NANO = 10**9
_HOUR = 3600
_MOST_BUCKETS = 240
_SPANS = (1, 2, 6, 12, 24, 48, 168, 336, 720, 2190, 8760, 43800)
"""How many hours a bucket may have."""

_TAIL = 0.02
"""The part of all files that may lie outside at each end: one odd year would make all others one bucket."""

Json = dict[str, Any]


class FileTimes:
    """The modification times of files by the hour; a layer that several images have counts once."""

    def __init__(self) -> None:
        """None yet."""
        self.hours: Counter[int] = Counter()
        self._done: set[str | None] = set()
        self._fresh: set[str | None] = set()

    def begin(self) -> None:
        """Say that another image follows: the layers so far are not counted again."""
        self._done |= self._fresh
        self._fresh = set()

    def add(self, layer: LayerInfo, mtime_ns: int) -> None:
        """Count a file of a layer."""
        key = layer.chain_id or layer.cache_id
        if key not in self._done:
            self._fresh.add(key)
            self.hours[mtime_ns // (_HOUR * _NANO)] += 1


def timeline_part(events: Iterable[EngineEvent], times: FileTimes) -> Json:
    """The events in order, and the times of files in at most 240 equal spans."""
    noted = sorted(events, key=lambda event: event.time_ns)
    marks = Counter({event.time_ns // (_HOUR * _NANO): 1 for event in noted})
    first, last = _middle(times.hours)
    for hour in marks:  # what the engine noted is never an outlier
        first, last = min(first, hour), max(last, hour)
    span = next((hours for hours in _SPANS if (last - first) // hours < _MOST_BUCKETS), _SPANS[-1])
    buckets: Counter[int] = Counter()
    outliers: Counter[str] = Counter()
    for hour, count in times.hours.items():
        if first <= hour <= last:
            buckets[(hour - first) // span] += count
        else:
            outliers["before" if hour < first else "after"] += count
    return {
        "span_hours": span,
        "buckets": [
            {"start": _time((first + index * span) * _HOUR * _NANO), "files": count}
            for index, count in sorted(buckets.items())
        ],
        "first": _time(first * _HOUR * _NANO) if times.hours or noted else None,
        "last": _time((last + 1) * _HOUR * _NANO) if times.hours or noted else None,
        "outliers": [
            {
                "side": side,
                "files": outliers[side],
                "extreme": _time(_extreme(times.hours, side) * _HOUR * _NANO),
            }
            for side in ("before", "after")
            if outliers[side]
        ],
        "events": [
            {
                "time": _time(event.time_ns),
                "what": str(event.what),
                "owners": [owner.id for owner in event.owners],
                "text": event.text,
                "layer": event.layer,
            }
            for event in noted
        ],
    }


def _time(time_ns: int) -> str | None:
    return rfc3339(time_ns)


def _extreme(hours: Counter[int], side: str) -> int:
    return min(hours) if side == "before" else max(hours)


def _middle(hours: Counter[int]) -> tuple[int, int]:
    """The first and the last hour without the tails."""
    if not hours:
        return 1 << 62, -1 << 62
    ordered, total = sorted(hours), hours.total()
    ends = []
    for direction in (ordered, ordered[::-1]):
        passed = 0
        for hour in direction:
            passed += hours[hour]
            if passed > total * _TAIL:
                ends.append(hour)
                break
    return ends[0], ends[1]
