"""Reading and writing YAML, with the line and column of every key and value."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarint import ScalarInt
from ruamel.yaml.scalarstring import ScalarString

from tinyseq.errors import ConfigError

Path_ = tuple[str | int, ...]
#: Line and column, from 0.
Position = tuple[int, int]


@dataclass(frozen=True)
class Problem:
    """Something wrong with the value (or, ``at_key``, the key) at a path."""

    path: Path_
    message: str
    at_key: bool = False


@dataclass
class Document:
    """A YAML mapping as plain Python values, and where in the text each came from."""

    data: dict[str, Any]
    name: str = "<config>"
    text: str = ""
    keys: dict[Path_, Position] = field(default_factory=dict)
    values: dict[Path_, Position] = field(default_factory=dict)

    def position(self, path: Path_, *, key: bool = False) -> Position | None:
        """Return where a path is written; where it is not, where the nearest part around it is."""
        while path:
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            if (found := first.get(path, second.get(path))) is not None:
                return found
            # What is missing is reported at the key of the section that lacks it.
            path, key = path[:-1], True
        return (0, 0) if self.text else None

    def error(self, problems: list[Problem]) -> ConfigError:
        """Return one error that shows every problem, in the order of the file."""
        placed = [(self.position(p.path, key=p.at_key), p) for p in problems]
        placed.sort(key=lambda pair: pair[0] or (-1, -1))
        blocks = [self.locate(position, dotted(p.path), p.message) for position, p in placed]
        return ConfigError("\n".join(dict.fromkeys(blocks)))

    def locate(self, position: Position | None, path: str, message: str) -> str:
        """Return ``file:line:column: error: path: message``, the line of the text, and a caret under the column."""
        message = f"{path}: {message}" if path else message
        if position is None:
            return f"{self.name}: error: {message}"
        line, column = position
        head = f"{self.name}:{line + 1}:{column + 1}: error: {message}"
        rows = self.text.splitlines()
        if line >= len(rows):
            return head
        # Tabs stay tabs in the caret's line, so that the caret stands under its column in any terminal.
        indent = "".join("\t" if letter == "\t" else " " for letter in rows[line][:column])
        return f"{head}\n    {rows[line]}\n    {indent}^"


def dotted(path: Path_) -> str:
    """Return ``train.betas[1]`` for a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read(path: str | Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, is not YAML, has a key twice, or is not a mapping.
    """
    path = Path(path)
    required = "a YAML file"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(
            "the config file does not exist",
            required=required,
            got=str(path),
            fix=f"in that folder: {', '.join(near[:8])}" if near else "check the path",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            "the config file is not UTF-8", required=required, got=f"{path}: byte offset {error.start}"
        ) from None
    except OSError as error:
        raise ConfigError(
            "the config file cannot be read", required=required, got=f"{path}: {error.strerror}"
        ) from None
    return parse(text, str(path))


def parse(text: str, name: str = "<config>") -> Document:
    """Parse YAML text; see ``read``."""
    document = Document({}, name, text)
    reader = YAML(typ="rt")
    try:
        tree = reader.load(text)
        plain = _convert(tree, (), document)
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else ""
        raise ConfigError(document.locate(_mark(error), key, "the key is here for the second time")) from None
    except MarkedYAMLError as error:
        problem = str(error.problem or error.context or "not YAML")
        raise ConfigError(document.locate(_mark(error), "", f"not YAML: {problem}")) from None
    except RecursionError:
        raise ConfigError(document.locate((0, 0), "", "nested too deep, or an alias within itself")) from None
    except (YAMLError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(document.locate((0, 0), "", f"cannot be read: {problem}")) from None
    if not isinstance(plain, dict):
        what = "the file is empty" if plain is None else f"the file holds {kind(plain)}"
        raise ConfigError(document.locate((0, 0), "", f"{what}; required keys and values, such as 'seed: 0'"))
    document.data = plain
    return document


def write(data: dict[str, Any], *, heading: str = "") -> str:
    """Return plain data as YAML text."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    writer.dump(data, out)
    return "".join(f"# {line}\n" for line in heading.splitlines()) + out.getvalue()


def kind(value: Any) -> str:
    """Say what sort of YAML value this is."""
    if value is None:
        return "nothing"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a section",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _mark(error: MarkedYAMLError) -> Position:
    mark = error.problem_mark or error.context_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)


def _convert(tree: Any, path: Path_, document: Document) -> Any:
    """Return plain values, noting positions on the way."""
    if isinstance(tree, CommentedMap):
        result = {}
        for key, value in tree.items():
            name = str(key)
            inner = (*path, name)
            if key in (tree.lc.data or {}):  # keys that come by a merge (<<) are written elsewhere
                document.keys[inner] = tree.lc.key(key)
                # Where nothing is written after the colon, ruamel.yaml names the place of what comes next.
                document.values[inner] = tree.lc.key(key) if value is None else tree.lc.value(key)
            result[name] = _convert(value, inner, document)
        return result
    if isinstance(tree, CommentedSeq):
        for index in range(len(tree)):
            document.values[(*path, index)] = tree.lc.item(index)
        return [_convert(value, (*path, index), document) for index, value in enumerate(tree)]
    return _plain(tree)


def _plain(value: Any) -> Any:
    """Return the Python value of a scalar that remembers how it was written."""
    for special, plain in ((ScalarBoolean, bool), (ScalarInt, int), (ScalarFloat, float), (ScalarString, str)):
        if isinstance(value, special):
            return plain(value)
    if isinstance(value, TaggedScalar):
        # A tag asks for an object; a config holds plain values only.
        raise YAMLError(f"the tag {value.tag.value!r} asks for an object; plain values only")
    return value
