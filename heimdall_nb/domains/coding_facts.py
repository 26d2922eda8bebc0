"""Facts about a function, computed from its code: read off the tree that tree-sitter makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module

from tree_sitter import Language, Node, Parser

_FUNCTIONS = {"function_definition", "function_declaration", "method_declaration"}
_LOOPS = {"for_statement", "for_in_statement", "enhanced_for_statement", "while_statement", "do_statement"}
_BRANCHES = {"if_statement", "elif_clause", "conditional_expression", "ternary_expression"}
_CALLS = {"call": "function", "call_expression": "function", "method_invocation": "name"}  # node -> field of the name


@lru_cache(maxsize=8)
def parser(language: str) -> Parser:
    """The parser of python, javascript, go or java."""
    return Parser(Language(import_module(f"tree_sitter_{language}").language()))


def parse(code: str, language: str) -> Node:
    """The root of the tree of a file."""
    return parser(language).parse(code.encode()).root_node


def parses(code: str, language: str) -> bool:
    """Whether a file is without syntax errors and has a function."""
    root = parse(code, language)
    return not root.has_error and next(functions(root), None) is not None


def functions(root: Node) -> Iterator[Node]:
    """The functions and methods of a file that have a name, the outer before the inner."""
    return (node for node in walk(root) if node.type in _FUNCTIONS and node.child_by_field_name("name"))


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def facts(code: str, language: str) -> dict[str, str]:
    """What can be counted in the first function of a file: parameters, loops, branches, returns, recursion."""
    function = next(functions(parse(code, language)))
    name = _text(function.child_by_field_name("name"))
    kinds = [node.type for node in walk(function) if node.is_named]
    own = any(
        node.type in _CALLS and _text(node.child_by_field_name(_CALLS[node.type])) == name for node in walk(function)
    )
    return {
        "Parameters": ", ".join(parameters(function)) or "none",
        "Loop statements": str(sum(kind in _LOOPS for kind in kinds)),
        "Branches": str(sum(kind in _BRANCHES for kind in kinds)),
        "Return statements": str(kinds.count("return_statement")),
        "Recursion": "yes" if own else "no",
    }


def parameters(function: Node) -> list[str]:
    """The names of a function's parameters."""
    found = []
    for child in function.child_by_field_name("parameters").named_children:
        named = child.child_by_field_name("name") or child.child_by_field_name("left") or child
        found.append(_text(named))
    return found


def function_name(code: str, language: str) -> str:
    """The name of the first function of a file."""
    return _text(next(functions(parse(code, language))).child_by_field_name("name"))


def _text(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text else ""
