"""The text of a parsed file: lines moved to the margin, doc comments, signatures and statements of its nodes."""

from __future__ import annotations

import inspect
from typing import Any

from tree_sitter import Node

from heimdall_nb.domains.repository_rules import pattern, tables

_CLIMB = 12  # nodes between a call and its statement; more is no simple statement


class Layout:
    """The lines of a file, and what the query found of its comments, docstrings and literals."""

    def __init__(self, table: dict[str, Any], text: str) -> None:
        self.table, self.raw = table, text.encode()
        self.lines = text.split("\n")
        self.comments: dict[int, Node] = {}  # by the row of their end
        self.docs: dict[tuple[int, int], Node] = {}  # docstrings, by the span of what they describe
        self.kept: set[int] = set()  # rows that begin inside a literal, so that white space there is content
        self._doc_rows: set[int] = set()

    def add(self, role: str, node: Node, doc: Node | None = None) -> None:
        """Note a comment, a literal, or the docstring `doc` of a node."""
        if role == "comment":
            self.comments[node.end_point.row] = node
        elif role == "text":
            self.kept.update(range(node.start_point.row + 1, node.end_point.row + 1))
        else:
            self.docs[span(node)] = doc
            self._doc_rows.update(range(doc.start_point.row, doc.end_point.row + 1))

    def text(self, node: Node) -> str:
        return self.raw[node.start_byte : node.end_byte].decode()

    def squeezed(self, node: Node) -> str:
        """A node's text on one line, cut where it is long."""
        text = " ".join(self.text(node).split())
        limit = tables()["limits"]["error_characters"]
        return text if len(text) <= limit else f"{text[: limit - 1]}…"

    def outer(self, node: Node) -> Node:
        """The node with what belongs to it: decorators, `export`, a declaration that holds nothing else."""
        while (parent := node.parent) is not None and parent.type in self.table["outer"]:
            if sum(child.type == node.type for child in parent.named_children) > 1:
                break
            node = parent
        return node

    def alone(self, node: Node) -> bool:
        """Whether a node has its lines for itself; a semicolon or a comment behind it is no code."""
        behind = self._behind(node).lstrip(";").strip()
        return not self._before(node) and (not behind or behind.startswith(("#", "//", "/*")))

    def _before(self, node: Node) -> str:
        start = node.start_byte - node.start_point.column
        return self.raw[start : node.start_byte].decode().strip()

    def _behind(self, node: Node) -> str:
        end = self.raw.find(b"\n", node.end_byte)
        ends_line = node.end_point.column == 0
        return "" if ends_line else self.raw[node.end_byte : end if end >= 0 else None].decode().strip()

    def moved(self, first: int, last: int) -> list[str]:
        """The rows from first to last, moved to the left margin; those inside a literal stay as they are."""
        edge = margin(self.lines[first])
        return [
            line if row in self.kept and row not in self._doc_rows else shifted(line, edge)
            for row, line in enumerate(self.lines[first : last + 1], start=first)
        ]

    def signature(self, outer: Node, body: Node) -> str:
        """What stands before a body, without the sign that opens it."""
        raw = self.raw[outer.start_byte : body.start_byte].decode()
        edge = margin(self.lines[outer.start_point.row])
        return "\n".join(shifted(line, edge) for line in raw.rstrip(" \t\n{").split("\n")).rstrip()

    def doc(self, node: Node, first: int) -> tuple[str, range, int]:
        """The doc comment of a node whose first row is `first`: its text, its rows where it stands inside on lines of
        its own (empty elsewhere), and the first row of doc comment and node together."""
        inside = self.docs.get(span(node))
        if inside is not None:
            match = pattern(f"(?s){self.table['quote']}").match(self.text(inside))
            own = not self._before(inside) and not self._behind(inside)
            rows = range(inside.start_point.row, inside.end_point.row + 1 if own else inside.start_point.row)
            return inspect.cleandoc(match[2]).strip() if match else "", rows, first
        if "comment_doc" not in self.table:
            return "", range(0), first
        text, top = self._comment_doc(self.table["comment_doc"], first)
        return text, range(0), top

    def _comment_doc(self, wanted: dict[str, str], first: int) -> tuple[str, int]:
        """The comment that ends on the row before: one block, or several lines."""
        texts: list[str] = []
        row = first - 1
        while (comment := self.comments.get(row)) is not None and not self._before(comment):
            text = self.text(comment)
            if not pattern(wanted["match"]).match(text) or pattern(wanted["refuse"]).search(text):
                break
            texts.insert(0, text)
            row = comment.start_point.row - 1
            if text.startswith("/*"):
                break
        lines = [pattern(wanted["strip"]).sub("", line) for text in texts for line in text.split("\n")]
        return inspect.cleandoc("\n".join(lines)).strip(), row + 1

    def first_statement(self, body: Node, doc_rows: range) -> int:
        """The row of the first statement of a body after its docstring; the row after the body where there is none."""
        after = doc_rows[-1] if doc_rows else -1
        rows = (child.start_point.row for child in body.named_children if child.start_point.row > after)
        return next(rows, body.end_point.row + 1)

    def statement(self, call: Node) -> str:
        """The statement around a call, where it is simple and short; else the call itself, or nothing."""
        simple, node = self.table["statements"], call
        for _ in range(_CLIMB):
            if node.type in simple or node.parent is None:
                break
            node = node.parent
        limit = tables()["limits"]["statement_lines"]
        for candidate in (node if node.type in simple else call, call):
            first, last = candidate.start_point.row, candidate.end_point.row
            if last - first < limit and not self.kept.intersection(range(first, last + 1)):
                edge = margin(self.lines[first])
                return "\n".join(shifted(line, edge) for line in self.text(candidate).split("\n"))
        return ""


def span(node: Node) -> tuple[int, int]:
    """Where a node stands, in bytes."""
    return node.start_byte, node.end_byte


def margin(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


def shifted(line: str, edge: str) -> str:
    """A line without the margin `edge`, or without the part of it that the line has."""
    if line.startswith(edge):
        return line[len(edge) :]
    pairs = enumerate(zip(line, edge, strict=False))
    return line[next((place for place, (a, b) in pairs if a != b), min(len(line), len(edge))) :]
