"""Pieces of code compared as the parser reads them: white space counts where the language says that it does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tree_sitter import Node, TreeCursor

from heimdall_nb.domains.repository_files import LeftOut
from heimdall_nb.domains.repository_rules import Rules
from heimdall_nb.domains.repository_source import parse
from heimdall_nb.domains.repository_text import margin

_FENCE = re.compile(r"\A\s*```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)


def unfenced(answer: str) -> str:
    """An answer without the Markdown fence around all of it."""
    match = _FENCE.match(answer)
    return match[1] if match else answer


def correct(rules: Rules, code: str) -> bool:
    """Whether a piece of code is correct source: by itself, or where such pieces stand (in a class, in a function)."""
    return shape(rules, code) is not None


def same(rules: Rules, code: str, answer: str, before: str = "") -> bool:
    """Whether an answer is the code, white space aside. `before` is the beginning that both continue.

    Where one of them is no correct source, the words between white space are compared.
    """
    if code.split() == answer.split() and _steps(code) == _steps(answer):
        return True
    edge = margin(code)
    for tried in (answer, edge + answer.lstrip()) if before else (answer,):
        wanted, given = (shape(rules, f"{before}\n{text}" if before else text) for text in (code, tried))
        if wanted is not None and wanted == given:
            return True
    return False


def _steps(code: str) -> list[int]:
    """How each line is indented, as ranks, so that two and four spaces a step are the same."""
    widths = [len(margin(line.expandtabs(8))) for line in code.strip("\n").split("\n") if line.strip()]
    ranks = {width: rank for rank, width in enumerate(sorted(set(widths)))}
    return [ranks[width] for width in widths]


def shape(rules: Rules, code: str) -> list[tuple[int, str, str]] | None:
    """The syntax tree as a list of (depth, type, text of a leaf), in the order of the text; None without one."""
    for wrap in rules.table["wraps"]:
        text = wrap.format(code)
        try:
            tree = parse(rules, text)
        except LeftOut:
            continue
        return _listed(tree.walk(), text.encode(), rules.table["aligned"])
    return None


def _listed(cursor: TreeCursor, raw: bytes, aligned: Sequence[str]) -> list[tuple[int, str, str]] | None:
    """A walk without recursion: source may be nested deeper than Python's stack. None where the statements of a block
    begin in different columns and the language does not allow it; its parser may."""
    found = []
    while True:
        node = cursor.node
        leaf = raw[node.start_byte : node.end_byte].decode() if node.child_count == 0 else ""
        found.append((cursor.depth, node.type, leaf))
        if node.type in aligned and len(_columns(node)) > 1:
            return None
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found


def _columns(block: Node) -> set[int]:
    """The columns in which the lines of a block's own statements begin."""
    first = {}  # of each row; several statements may share one
    for child in block.named_children:
        if child.type != "comment":
            first.setdefault(child.start_point.row, child.start_point.column)
    return set(first.values())
