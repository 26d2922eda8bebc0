"""What may be sent to a SQL server as it is written: the gate of `sql`, and what only a server would do wrong.

The embedded engine runs what the gate's parser understood. A server parses the text itself, so everything that the two
could read differently is refused, and so is what MySQL lacks and MariaDB has.
"""

from __future__ import annotations

import re

from sqlglot import exp

from heimdall_nb.engines.graph import Refusal
from heimdall_nb.engines.sql import gate, unknown_functions

# Control characters and the spaces of other alphabets: parsers do not agree on where a comment begins or a word ends.
_ODD_SPACE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060\u3000\ufeff]"
)
_STRINGS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)
_SEQUENCE = re.compile(r"seq_\d+_to_\d+(_step_\d+)?", re.IGNORECASE)  # tables that MariaDB makes up when asked for


def server_gate(query: str, database: str = "") -> exp.Query | Refusal:
    """The syntax tree of the one read in `query`, or why a server must not see it.

    Beyond `sql.gate`: functions that MySQL lacks (a server may have more, and functions of its own), tables of other
    databases than `database`, MariaDB's sequences and row histories, optimiser hints, and odd white space.
    """
    tree = gate(query)
    if isinstance(tree, Refusal):
        return tree
    if _ODD_SPACE.search(_STRINGS.sub("''", query)):
        return Refusal("syntax", "there is a control character or an unusual space in the statement")
    if "/*+" in query:
        return Refusal("write", "optimiser hints (/*+ … */) can set variables and are not allowed")
    if unknown := unknown_functions(tree):
        return Refusal("schema", f"MySQL has no function {unknown[0]}")
    for node in tree.find_all(exp.Table, exp.Version):
        if isinstance(node, exp.Version):
            return Refusal("syntax", "MySQL has no FOR SYSTEM_TIME")
        if node.catalog or (node.db and node.db.lower() != database.lower()):
            return Refusal("schema", f"there is no database {node.db}")
        if _SEQUENCE.fullmatch(node.name):
            return Refusal("schema", f"MySQL has no sequence {node.name}")
    return tree
