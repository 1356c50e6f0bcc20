"""The code of a syntax tree as text that says what the code does, and nothing else.

Left out is what changes no product: comments, docstrings, layout, annotations, the order of imports, messages (`say`,
`log.write`, the text of a progress bar or of a `UserError`), and imports of the modules of `NO_PART`.

The text is the same on every version of Python: it is made from the fields of a tree that have a value, not by
`ast.dump`, whose text differs between versions.  It needs nothing but Python itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Modules, or packages with all that is in them, that change no product: what people see while it is made.
NO_PART = (
    "pipeline.commandline",
    "pipeline.errors",
    "pipeline.progress",
    "pipeline.runlock",
    "pipeline.settings",
    "training.show",
)
_SAYS = {"say", "print", "log.write", "self._log.write", "self.log.write"}
IMPORTS = (ast.Import, ast.ImportFrom)


def normal_form(tree: ast.AST) -> str:
    """The code of a syntax tree as text, equal for equal behaviour on every version of Python that can read it."""
    return "".join(_spelled(tree))


def is_no_part(module: str) -> bool:
    """Whether a module changes no product."""
    return any(module == name or module.startswith(f"{name}.") for name in NO_PART)


# Fields that say how something is written or read by people.
_NOT_SPELLED = {"ctx", "kind", "annotation", "returns", "type_comment", "type_ignores", "type_params", "simple"}


def _spelled(node: object) -> Iterator[str]:
    """``(Name id 'x')``: the class of a node and its fields that have a value, in the order of their names."""
    if isinstance(node, ast.Call) and _name(node.func) == "UserError":
        node = ast.Call(func=node.func, args=[], keywords=[])
    elif isinstance(node, ast.Call) and _name(node.func) == "progress":
        node = ast.Call(func=node.func, args=node.args[:1], keywords=[])
    elif isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        node = ast.JoinedStr([value for value in node.values if getattr(value, "value", None) != ""])
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for field in sorted(node._fields):
            value = getattr(node, field, None)
            if field in _NOT_SPELLED or value is None or value == []:
                continue
            yield f" {field} "
            yield from _body(value) if field in ("body", "orelse", "finalbody") else _spelled(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _spelled(item)
        yield "]"
    else:
        yield repr(node)


def _body(statements: object) -> Iterator[str]:
    """Statements that do something; imports first and sorted, since their order is the formatter's."""
    if not isinstance(statements, list):
        yield from _spelled(statements)
        return
    kept = [statement for statement in statements if not _does_nothing(statement)]
    yield "["
    yield from sorted(
        "".join(_spelled(type(node)(**{**dict(ast.iter_fields(node)), "names": [alias]})))
        for node in kept
        if isinstance(node, IMPORTS)
        for alias in node.names
    )
    for statement in kept:
        if not isinstance(statement, IMPORTS):
            yield from _spelled(statement)
    yield "]"


def _does_nothing(statement: ast.stmt) -> bool:
    """A docstring, a message, an import that only types or the language's future need, a bare annotation."""
    if isinstance(statement, ast.Expr):
        value = statement.value
        return isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and _name(value.func) in _SAYS)
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or is_no_part(statement.module or "")
    return isinstance(statement, ast.If) and _name(statement.test).endswith("TYPE_CHECKING")


def _name(node: ast.AST) -> str:
    """``log.write`` of the expression; nothing for what is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""
