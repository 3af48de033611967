"""The small changes that make mutants of a module, found in its syntax tree and applied to its text."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
}


@dataclass(frozen=True)
class Change:
    """One change of a module's text.

    A change is found again after edits elsewhere in the module: by the function, the text before and after, and how
    many equal ones precede it in that function.
    """

    function: str
    before: str
    after: str
    occurrence: int


@dataclass(frozen=True)
class _Place:
    """A node that can be replaced, and the text that replaces it."""

    function: str
    node: ast.AST
    after: str


def changes(source: str) -> dict[Change, tuple[int, int]]:
    """All changes of a module's text, with the span of characters that each replaces, in the order of the text."""
    offsets = _offsets(source)
    found: dict[Change, tuple[int, int]] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    places = sorted(_places(ast.parse(source), ""), key=lambda place: _span(place.node, offsets))
    for place in places:
        start, end = _span(place.node, offsets)
        key = (place.function, source[start:end], place.after)
        found[Change(*key, seen[key])] = (start, end)
        seen[key] += 1
    return found


def applied(source: str, change: Change) -> str:
    """The module's text with the change.

    Raises:
        KeyError: The text has no such change.
    """
    start, end = changes(source)[change]
    return source[:start] + change.after + source[end:]


def _places(node: ast.AST, function: str) -> Iterator[_Place]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    yield from (_Place(function, node, after) for after in _replacements(node))
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _never_runs(child):
                yield from _places(child, function)


def _never_runs(node: ast.AST) -> bool:
    """Docstrings, imports, and code for type checkers alone."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return documents or isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr)


def _replacements(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield f"({ast.unparse(left)} {COMPARISONS[type(operator)]} {ast.unparse(right)})"
        case ast.BinOp(left=left, op=binary, right=right) if type(binary) in OPERATORS and not _is_text(node):
            yield f"({ast.unparse(left)} {OPERATORS[type(binary)]} {ast.unparse(right)})"
        case ast.BoolOp(op=logical, values=values):
            other = " or " if isinstance(logical, ast.And) else " and "
            yield f"({other.join(f'({ast.unparse(value)})' for value in values)})"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(value=bool() as truth):
            yield str(not truth)
        case ast.Constant(value=int() | float() as number):
            yield repr(number + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "return None"
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            yield f"({ast.unparse(otherwise)} if {ast.unparse(test)} else {ast.unparse(body)})"
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield "pass"
        case _:
            return


def _is_text(node: ast.BinOp) -> bool:
    """Whether texts are joined or formatted: a change of the operator there only raises."""
    sides: tuple[Any, ...] = (node.left, node.right)
    return any(isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", None), str) for side in sides)


def _offsets(source: str) -> list[tuple[int, bytes]]:
    """Of every line: its first character's place in the text, and its bytes, in which columns are counted."""
    found, at = [], 0
    for line in source.splitlines(keepends=True):
        found.append((at, line.encode()))
        at += len(line)
    return found


def _span(node: Any, offsets: list[tuple[int, bytes]]) -> tuple[int, int]:
    def place(line: int, column: int) -> int:
        start, content = offsets[line - 1]
        return start + len(content[:column].decode())

    return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
