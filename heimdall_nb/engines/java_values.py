"""Values of the Java machine as plain Python."""

from __future__ import annotations

import datetime
import time
from typing import Any

MAX_TEXT = 10_000_000  # characters of one text
_CHECK_EVERY = 1000  # values between two looks at the clock


class TooLarge(Exception):
    """A result that takes too long to read, or a text too long to keep."""


class Converter:
    """Java values as plain Python: dates and times as ISO text, nodes and relationships as their properties.

    Raises TooLarge past the limit that `start` sets, or for a text of more than MAX_TEXT characters.
    """

    def __init__(self, jpype: Any) -> None:
        self._string = jpype.JClass("java.lang.String")
        self._map = jpype.JClass("java.util.Map")
        self._collection = jpype.JClass("java.util.Collection")
        self._document = jpype.JClass("com.arcadedb.database.Document")
        self._path = jpype.JClass("com.arcadedb.query.opencypher.traversal.TraversalPath")
        self._boolean = jpype.JClass("java.lang.Boolean")
        self._floats = tuple(jpype.JClass(f"java.{n}") for n in ("lang.Double", "lang.Float", "math.BigDecimal"))
        self._number = jpype.JClass("java.lang.Number")
        self.start(0)

    def start(self, seconds: float) -> None:
        """Begin a result: all its values together may take `seconds`."""
        self._seconds, self._deadline, self._count = seconds, time.monotonic() + seconds, 0

    def __call__(self, value: Any) -> Any:
        self._count += 1
        if self._count % _CHECK_EVERY == 0 and time.monotonic() > self._deadline:
            raise TooLarge(f"The result is too large to be read in {self._seconds:g} s.")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, self._string):
            if value.length() > MAX_TEXT:
                raise TooLarge(f"A text of the result has more than {MAX_TEXT} characters.")
            return str(value)
        if isinstance(value, self._boolean):
            return bool(value)
        if isinstance(value, self._floats):
            return float(value.doubleValue())
        if isinstance(value, self._number):
            return int(value.longValue())
        if isinstance(value, self._map):
            return {str(key): self(value.get(key)) for key in value.keySet()}
        if isinstance(value, self._collection):
            return [self(item) for item in value]
        if isinstance(value, self._document):
            return {str(key): self(value.get(key)) for key in value.getPropertyNames()}
        if isinstance(value, self._path):
            return [self(vertex) for vertex in value.getVertices()]
        if isinstance(value, datetime.date):
            return value.isoformat()
        return str(value)  # Cypher's temporal values, whose text is ISO 8601
