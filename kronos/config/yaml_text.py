"""YAML as text: read with the line of every key, and written.

Scalars are those of YAML 1.2 (core schema), on top of PyYAML's parser: `1e-4` is a number; only `true` and `false` are
booleans; dates, `yes`, `on` and `12:30` are texts.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from kronos.config.messages import KeyPath
from kronos.errors import ConfigError
from kronos.names import Message, Template

TAG = "tag:yaml.org,2002:"
NO_TAG = ""
KNOWN_TAGS = (NO_TAG, f"{TAG}str", f"{TAG}map", f"{TAG}seq")
MERGE = "\0<<"  # no key of a file has this name
MAX_VALUES = 100_000  # a few lines of nested aliases can stand for billions
MAX_CHARACTERS = 1 << 22  # of all values, with aliases
MAX_DEPTH = 50
INTEGER = re.compile(r"[-+]?[0-9][0-9_]{0,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
BACKSLASHES = (
    r"Between double quotes a backslash begins an escape. Write a path like 'D:\data\my.csv' or D:/data/my.csv"
)
BOOLEANS = {text: word == "true" for word in ("true", "false") for text in (word, word.title(), word.upper())}
NULLS = ("", "~", "null", "Null", "NULL")


class _Loader(yaml.SafeLoader):
    """Gives scalars without a tag no type."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    DEFAULT_SCALAR_TAG = NO_TAG  # type: ignore[misc]
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Build a node, unless it lies too deep: nested brackets would exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"it is nested more than {MAX_DEPTH} levels deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes if YAML 1.1 or 1.2 reads it as something else."""


_Dumper.add_implicit_resolver(f"{TAG}int", re.compile(f"({INTEGER.pattern})$"), list("-+0123456789"))
_Dumper.add_implicit_resolver(f"{TAG}float", re.compile(f"({FLOAT.pattern})$"), list("-+.0123456789"))


def write_yaml_text(values: dict[str, Any]) -> str:
    """Write values as YAML that YAML 1.1 and 1.2 read alike."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)


def read_value(text: str) -> Any:
    """Read one value, as an override gives it; a text that is not valid YAML stands for itself."""
    try:
        return parse_yaml(text, "command line")[0] if text else ""
    except ConfigError:
        return text


def parse_yaml(text: str, name: str) -> tuple[Any, dict[KeyPath, str]]:
    """Return a document's value and the place, "name:line", of each key of its mappings.

    Raises:
        ConfigError: it is not valid YAML, or has a key twice.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
        reader = _Reader(name)
        return (None if node is None else reader.read(node, ())), reader.places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = error.problem or "unreadable"
        if problem.startswith("but "):  # the second half of a sentence
            problem = f"{error.context}, {problem}"
        hint = Message(f". {BACKSLASHES}") if "escape" in problem else ""
        template = "{place}: not valid YAML: {problem}{hint}."
        raise ConfigError(template, place=place, problem=problem, hint=hint) from None
    except yaml.reader.ReaderError as error:
        place = f"{name}:{text.count(chr(10), 0, error.position) + 1}"
        template = "{place}: not valid YAML: the character U+{character:04X} is not allowed."
        raise ConfigError(template, place=place, character=ord(text[error.position])) from None
    except RecursionError:
        raise ConfigError("{place}: not valid YAML: it is nested too deeply.", place=name) from None


@dataclass
class _Reader:
    """Turns nodes into values and remembers where the keys stand."""

    name: str
    places: dict[KeyPath, str] = field(default_factory=dict)
    open_nodes: set[int] = field(default_factory=set)  # an alias to one of these contains itself
    n_values: int = 0
    n_characters: int = 0

    def read(self, node: yaml.Node, keys: KeyPath) -> Any:
        self.n_values += 1
        if self.n_values > MAX_VALUES:
            raise self._error(node, "its aliases stand for more than {n:,} values", n=MAX_VALUES)
        self.n_characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if self.n_characters > MAX_CHARACTERS:
            raise self._error(node, "its aliases stand for more than {n:,} characters", n=MAX_CHARACTERS)
        if node.tag not in KNOWN_TAGS:
            template = "the tag {tag} is not supported: write the value without it"
            raise self._error(node, template, tag=node.tag.replace(TAG, "!!"))
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style or node.tag != NO_TAG else _read_plain(node.value)
        if id(node) in self.open_nodes:
            raise self._error(node, "an alias contains itself")
        self.open_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            values: Any = self._read_mapping(node, keys)
        else:
            values = [self._read_item(each, (*keys, str(n))) for n, each in enumerate(node.value)]
        self.open_nodes.remove(id(node))
        return values

    def _read_item(self, node: yaml.Node, keys: KeyPath) -> Any:
        self.places[keys] = f"{self.name}:{_line(node)}"
        return self.read(node, keys)

    def _read_mapping(self, node: yaml.MappingNode, keys: KeyPath) -> dict[str, Any]:
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, "a key must be a text")
            key = MERGE if _is_merge(key_node) else str(self.read(key_node, keys))
            if key in own:
                lines = {"line": _line(key_node), "first": _line(own[key][0])}
                template = '{name}:{line}: found duplicate key "{key}", first on line {first}; keep one of them.'
                raise ConfigError(template, name=self.name, key=key_node.value, **lines)
            own[key] = key_node, value_node
        merged = self._merge(*own.pop(MERGE), keys) if MERGE in own else {}
        values = {}
        for key, (key_node, value_node) in own.items():
            self.places[(*keys, key)] = f"{self.name}:{_line(key_node)}"
            values[key] = self.read(value_node, (*keys, key))
        return values | {key: value for key, value in merged.items() if key not in values}

    def _merge(self, key_node: yaml.Node, value_node: yaml.Node, keys: KeyPath) -> dict[str, Any]:
        """Return what << brings in, of several mappings the first; the place of its keys is that of <<."""
        sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        merged: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise self._error(value_node, "<< takes a mapping, or a list of mappings")
            merged = self.read(source, keys) | merged
        self.places |= {(*keys, key): f"{self.name}:{_line(key_node)}" for key in merged}
        return merged

    def _error(self, node: yaml.Node, template: Template, **values: object) -> ConfigError:
        place, problem = f"{self.name}:{_line(node)}", Message(template, **values)
        return ConfigError("{place}: not valid YAML: {problem}.", place=place, problem=problem)


def _is_merge(key: yaml.ScalarNode) -> bool:
    return key.value == "<<" and not key.style


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _read_plain(text: str) -> Any:
    """Read a scalar without quotes."""
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if INTEGER.fullmatch(text):
        return int(text.replace("_", ""), {"0o": 8, "0x": 16}.get(text[:2], 10))
    if FLOAT.fullmatch(text):
        return float(re.sub(r"_|\.(?=inf|nan)", "", text.lower()))
    return text
