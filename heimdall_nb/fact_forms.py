"""Forms of schema statements: those that NornicDB 1.0 accepts, and those that it refuses or ignores, as patterns.

Each pattern is known by the name of its fact (`statement.<name>`, `refused.<name>`); a pack without the fact does not
use it.
"""

from __future__ import annotations

import re

SUSPECT = re.compile(r"\b(?:INDEX|CONSTRAINT|GROUP\s+BY|BEGIN|LIMIT|KEY)\b|`vector\.", re.IGNORECASE)
SCHEMA = re.compile(r"CREATE\s+(?:\w+\s+)?(?:INDEX|CONSTRAINT)\b", re.IGNORECASE)
# where a statement ends in a block of several
NEXT = re.compile(
    r";|\s(?=(?:CREATE\s+(?:\w+\s+)?(?:INDEX|CONSTRAINT)|MATCH|CALL|SHOW|PROFILE|EXPLAIN|MERGE)\b)", re.IGNORECASE
)


def _form(text: str) -> re.Pattern[str]:
    """A form as a pattern: N is a name (back-ticks allowed), W a plain word, a blank any white space."""
    text = text.replace("(", r"\s*\(\s*").replace(")", r"\s*\)").replace("<", "(?:").replace(">", ")")
    text = text.replace("N", r"(?:`[^`]+`|\w+)").replace(", ", r"\s*,\s*").replace(" ", r"\s+")
    return re.compile(text.replace("W", r"\w+"), re.IGNORECASE | re.DOTALL)


_NODE = r"FOR(W\s*:\s*n)".replace("n", "N").replace("FOR", "for")
_EXISTS = "<if not exists >?"
ACCEPTED = {
    "create_unique_constraint": _form(rf"create constraint <N >?{_EXISTS}{_NODE} require W\.N is unique"),
    "create_unique_constraint_on": _form(
        rf"create constraint <N >?{_EXISTS}{_NODE.replace('for', 'on')} assert W\.N is unique"
    ),
    "create_index": _form(rf"create index <W >?{_EXISTS}{_NODE} on(W\.N<, W\.N>*)"),
    "create_fulltext_index": _form(rf"create fulltext index W {_EXISTS}{_NODE} on each \[\s*W\.N<, W\.N>*\s*\]"),
    "create_vector_index": _form(rf"create vector index W {_EXISTS}{_NODE} on(W\.N)<\s*options\s*\{{.*\}}>?"),
}
_ARROW = r"[^;]*?\bFOR\s*\(\s*\w*\s*\)\s*<?-\s*\["
_PATTERNS = {
    "node_key": r"\b(?:NODE|RELATIONSHIP|REL)\s+KEY\b",
    "not_null": r"\bCONSTRAINT\b[^;]*\bIS\s+NOT\s+NULL\b",
    "typed_constraint": r"\bREQUIRE\b[^;]*\bIS\s+(?:::|TYPED\b)",
    "composite_unique": r"\bREQUIRE\s*\([^);]*,[^);]*\)\s*IS\s+UNIQUE\b",
    "relationship_constraint": rf"\bCREATE\s+CONSTRAINT\b{_ARROW}",
    "relationship_index": rf"\bCREATE\s+INDEX\b{_ARROW}",
    "backticked_vector_options": r"`vector\.\w+`\s*:",
    "range_index": r"\bRANGE\s+INDEX\b",
    "text_index": r"\bTEXT\s+INDEX\b(?<!FULLTEXT INDEX)",
    "point_index": r"\bPOINT\s+INDEX\b",
    "lookup_index": r"\bLOOKUP\s+INDEX\b",
    "drop_index": r"\bDROP\s+INDEX\b",
    "drop_constraint": r"\bDROP\s+CONSTRAINT\b",
    "group_by": r"\bGROUP\s+BY\b",
    "transaction_in_one_query": r"\bBEGIN\b(?:\s+TRANSACTION\b)?\s+[^;]*\b(?:COMMIT|ROLLBACK)\b",
    "limit_before_order": r"\bLIMIT\s+\S+\s+ORDER\s+BY\b|\bLIMIT before ORDER BY\b",
}
REFUSED = {name: re.compile(pattern, re.IGNORECASE | re.DOTALL) for name, pattern in _PATTERNS.items()}
# In a sentence, only what is written in capitals names a statement: "a full-text index" does not.
_IN_PROSE = """node_key range_index text_index point_index lookup_index drop_index drop_constraint group_by
limit_before_order"""
REFUSED_IN_PROSE = {name: re.compile(_PATTERNS[name]) for name in _IN_PROSE.split()}
