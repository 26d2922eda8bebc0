"""Values of the Bolt driver as plain Python, with the same text that the embedded engine gives."""

from __future__ import annotations

import datetime
from typing import Any

from neo4j import time
from neo4j.graph import Path
from neo4j.spatial import Point


def plain(value: Any) -> Any:
    """Nodes and relationships as their properties, a path as the list of its nodes, times as ISO 8601 text."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (list, tuple)) and not isinstance(value, (Point, time.Duration)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return [plain(node) for node in value.nodes]
    if hasattr(value, "element_id"):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    if isinstance(value, time.DateTime):
        return f"{value.date().iso_format()}T{_clock(value.time())}{_zone(value)}"
    if isinstance(value, time.Time):
        return _clock(value) + _zone(value)
    if isinstance(value, (time.Date, time.Duration)):
        return value.iso_format()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)


def _clock(value: time.Time) -> str:
    """Hours and minutes; seconds where there are any; fractions in groups of three digits: as java.time writes it."""
    text = f"{value.hour:02}:{value.minute:02}"
    if not (value.second or value.nanosecond):
        return text
    text += f":{value.second:02}"
    if not value.nanosecond:
        return text
    digits = f"{value.nanosecond:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}"


def _zone(value: Any) -> str:
    offset = value.utcoffset()
    if offset is None:
        return ""
    minutes = int(offset.total_seconds()) // 60
    return "Z" if minutes == 0 else f"{'+' if minutes > 0 else '-'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
