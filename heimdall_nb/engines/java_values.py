"""Values of the Java machine as plain Python."""

from __future__ import annotations

import datetime
from typing import Any


class Converter:
    """Java values as plain Python: dates and times as ISO text, nodes and relationships as their properties."""

    def __init__(self, jpype: Any) -> None:
        self._string = jpype.JClass("java.lang.String")
        self._map = jpype.JClass("java.util.Map")
        self._collection = jpype.JClass("java.util.Collection")
        self._document = jpype.JClass("com.arcadedb.database.Document")
        self._path = jpype.JClass("com.arcadedb.query.opencypher.traversal.TraversalPath")
        self._boolean = jpype.JClass("java.lang.Boolean")
        self._floats = tuple(jpype.JClass(f"java.{n}") for n in ("lang.Double", "lang.Float", "math.BigDecimal"))
        self._number = jpype.JClass("java.lang.Number")

    def __call__(self, value: Any) -> Any:
        if value is None or type(value) in (bool, int, float, str):
            return value
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
        return str(value)  # java.lang.String, and Cypher's temporal values, whose text is ISO 8601
