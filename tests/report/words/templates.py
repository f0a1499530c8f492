"""Collect the English templates of the code: of errors, findings and log lines, and the phrases put into them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

LOG_CALLS = {name: ["*msg"] for name in ("debug", "info", "warning", "error", "critical")} | {"log": ["level", "*msg"]}
ANNOTATION = "Template"  # of what holds, takes or returns a template
CATALOGUE = ROOT / "kronos/report/words/messages.py"
REUSED = re.compile(
    r"\b(template|message|remedy_template|wording|unit)\b|cause\.remedy"
)  # of a message that was collected where it is written
MAX_DEPTH = 2  # of variables that are set from variables
PHRASE = re.compile(r"[A-Za-z]{2,} [a-z]{2,}")


@dataclass
class Templates:
    """texts: templates and phrases, by the first place that has them. unknown: places of templates that are computed."""

    texts: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


@cache
def read_trees(folder: Path = ROOT / "kronos") -> dict[str, ast.Module]:
    """Read the files of a folder, except the one that words what others write."""
    return {
        str(path.relative_to(folder)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
        if path != CATALOGUE
    }


def collect(trees: dict[str, ast.Module]) -> Templates:
    """Collect the templates of files."""
    found = Templates()
    constants = {name: node for tree in trees.values() for name, node in _list_constants(tree)}
    functions = {path: dict(_list_functions(tree)) for path, tree in trees.items()}
    everywhere = {name: each for own in functions.values() for name, each in own.items() if name[0] != "_"}
    returning = {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and _is_template(node.returns)
    }
    for path, tree in trees.items():
        others = _list_others(tree, functions)
        arguments = {name: each for name, each in everywhere.items() if name not in others} | functions[path]
        _Collector(found, path, constants | dict(_list_constants(tree)), arguments, returning).visit(tree)
    return found


def _list_others(tree: ast.Module, functions: dict[str, dict[str, list[str]]]) -> set[str]:
    """Return the names that a file defines or imports, and that take no templates, although others of the name do."""
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        path = (
            f"{(node.module or '').removeprefix('kronos.').replace('.', '/')}.py"
            if isinstance(node, ast.ImportFrom)
            else ""
        )
        if path in functions:
            own |= {each.name for each in node.names} - functions[path].keys()
    return own


def _list_constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id.isupper() and node.value is not None:
            yield target.id, node.value


def _list_functions(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield the functions and classes that take templates, with the names of their arguments."""
    methods = (each for node in tree.body if isinstance(node, ast.ClassDef) for each in node.body)
    for node in (*tree.body, *methods):
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "").endswith("Error") for base in node.bases):
            yield node.name, ["*template"]
        if isinstance(node, ast.ClassDef):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            own = [_mark(each.target.id, each.annotation) for each in fields if isinstance(each.target, ast.Name)]
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name in ("__init__", "__new__"):
                    own = _list_arguments(each)
            if any(name[0] == "*" for name in own):
                yield node.name, own
        if isinstance(node, ast.FunctionDef) and node.name[:2] != "__" and "*" in "".join(_list_arguments(node)):
            yield node.name, _list_arguments(node)


def _list_arguments(node: ast.FunctionDef) -> list[str]:
    by_place = [f"{_mark(each.arg, each.annotation)}/" for each in node.args.posonlyargs]  # no keyword names them
    named = [_mark(each.arg, each.annotation) for each in (*node.args.args, *node.args.kwonlyargs)]
    return [each for each in (*by_place, *named) if each.strip("/") not in ("self", "cls")]


def _mark(name: str, annotation: ast.expr | None) -> str:
    return f"*{name}" if _is_template(annotation) else name


def _is_template(annotation: ast.expr | None) -> bool:
    names = ast.walk(annotation) if annotation is not None else ()
    return any(isinstance(each, ast.Name) and each.id == ANNOTATION for each in names)


class _Collector(ast.NodeVisitor):
    def __init__(
        self,
        found: Templates,
        path: str,
        constants: dict[str, ast.expr],
        arguments: dict[str, list[str]],
        returning: set[str],
    ) -> None:
        self.found, self.path, self.constants, self.arguments = found, path, constants, arguments
        self.functions: list[ast.FunctionDef] = []
        self.returning = returning

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.functions.append(node)
        if _is_template(node.returns):
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and each.value is not None:
                    self.add(each.value)
        self.generic_visit(node)
        self.functions.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and _is_template(node.annotation):
            self.add(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        takes = LOG_CALLS.get(name, []) if owner == "logger" else self.arguments.get(name, [])
        takes = [] if name == "join" and owner != "Message" else takes  # of texts
        given = [(takes[n] if n < len(takes) else "", value) for n, value in enumerate(node.args)]
        given += [
            (f"*{each.arg}" if f"*{each.arg}" in takes else "", each.value)
            for each in node.keywords
            if each.arg != "command"  # no phrase
        ]
        for argument, value in given if takes else ():
            if argument.startswith("*"):
                self.add(value)
            else:
                self.add_phrases(value)
        self.generic_visit(node)

    def add(self, node: ast.expr) -> None:
        """Add all templates that an expression can be."""
        place = f"{self.path}:{node.lineno}"
        match node:
            case ast.Constant(value=None):
                pass
            case ast.Constant(value=str(text)):
                if text:
                    self.found.texts.setdefault(text, place)
            case ast.IfExp():
                self.add(node.body)
                self.add(node.orelse)
            case ast.BoolOp():
                for each in node.values:
                    self.add(each)
            case ast.BinOp(op=ast.Add()) | ast.JoinedStr():
                self.add_pieces(node)
            case ast.FormattedValue():
                self.add(node.value)
            case ast.Dict():
                for each in node.values:
                    self.add(each)
            case ast.Tuple():
                for each in node.elts:
                    self.add(each)
            case ast.Subscript() if not REUSED.search(ast.unparse(node)):
                self.add(node.value)
            case ast.Name(id="FINDINGS" | "DIFFERENCES"):
                pass  # worded by their codes, in zh.yaml
            case ast.Name() if (values := self.find_values(node.id)) is not None:
                for each in values:
                    if each is not node:
                        self.add(each)
            case ast.Call(func=ast.Name(id=name)) if any(each[0] == "*" for each in self.arguments.get(name, ())):
                pass  # it is visited itself
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in self.returning:
                pass  # its templates are collected where it returns them
            case ast.Call(func=ast.Name(id="Message") | ast.Attribute(value=ast.Name(id="Message"))):
                pass  # it is visited itself
            case ast.Call(func=ast.Attribute(attr="get"), args=[_, default]):
                self.add(node.func.value)
                self.add(default)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="dict"), attr="fromkeys"), args=[_, value]):
                self.add(value)
            case ast.Call(func=ast.Attribute(value=value, attr="lower" | "rstrip" | "removeprefix")):
                self.add(value)
            case ast.Attribute() | ast.Call() | ast.Subscript() if REUSED.search(ast.unparse(node)):
                pass
            case _:
                self.found.unknown.append(f"{place}: {ast.unparse(node)}")

    def add_pieces(self, node: ast.expr) -> None:
        match node:
            case ast.BinOp():
                self.add_pieces(node.left)
                self.add_pieces(node.right)
            case ast.JoinedStr():
                for each in node.values:
                    self.add_pieces(each)
            case ast.Constant(value=str(text)):
                self.found.texts.setdefault(text, f"{self.path}:{node.lineno}")
            case _:
                self.add(node)

    def find_values(self, name: str) -> list[ast.expr] | None:
        """Return what a variable is set to; None if that is not known, as of most arguments of a function."""
        for function in reversed(self.functions):
            found = [*_list_assigned(function, name)]
            if found:
                return found
            taken = _list_arguments(function)
            if f"*{name}" in taken or f"*{name}/" in taken:
                return []  # who calls the function gives the template, which is collected there
            if name in taken:
                return None
        return [self.constants[name]] if name in self.constants else None

    def add_phrases(self, node: ast.AST, depth: int = 0) -> None:
        """Add the constant phrases within a value of a message, except those within another message."""
        match node:
            case ast.Call(func=ast.Name(id=name)) if any(each[0] == "*" for each in self.arguments.get(name, ())):
                pass  # it is visited itself
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in self.returning:
                pass  # its templates are collected where it returns them
            case ast.Call(func=ast.Name(id="Message") | ast.Attribute(value=ast.Name(id="Message"))):
                return
            case ast.Call(func=ast.Attribute(attr="removeprefix")):
                return
            case ast.Constant(value=str(text)) if PHRASE.search(text):
                self.found.texts.setdefault(text, f"{self.path}:{node.lineno}")
            case ast.Name() if depth < MAX_DEPTH:
                for each in self.find_values(node.id) or ():
                    self.add_phrases(each, depth + 1)
        for each in node.values if isinstance(node, ast.Dict) else ast.iter_child_nodes(node):
            self.add_phrases(each, depth)


def _list_assigned(function: ast.FunctionDef, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield node.value
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts)
                    yield from (value for one, value in pairs if isinstance(one, ast.Name) and one.id == name)
        single = isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign) and isinstance(node.target, ast.Name)
        if single and node.target.id == name and node.value is not None:
            yield node.value
