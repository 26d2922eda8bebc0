"""Heimdall: from nothing to a small language model that writes Cypher and SQL, and the numbers to trust it by."""

__version__ = "0.1.0"
