"""Reading and writing YAML, with the line and column of every key and value.

The text becomes a tree of nodes (by ruamel.yaml), and the tree plain values here: no tag is followed, no object made.
Aliases may multiply what a small file says, so values are counted while they are made.
"""

from __future__ import annotations

import codecs
import errno
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter

from tinyseq.errors import ConfigError, did_you_mean
from tinyseq.files import read_bytes
from tinyseq.train.config.source import Document, Path_, Position, Problem, dotted, kind

#: The largest config in bytes, the most values in it (aliases written out), and how deep they may be nested.
LARGEST: Final = 1 << 18
MOST_VALUES: Final = 10_000
DEEPEST: Final = 32
#: Byte order marks of encodings that are not UTF-8.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"
_TOO_MANY: Final = f"more than {MOST_VALUES:,} values, aliases written out"
#: Text that YAML 1.1 takes for truth values, and for numbers to the base 60.
_OLDER: Final = re.compile(r"(?i:y|n|yes|no|on|off)|[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")
_CORE: Final = "tag:yaml.org,2002:"


def read(path: str | Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, is too large, not UTF-8, not YAML, or not a mapping. What is wrong within it,
            such as a key that is there twice, is left in the document's ``problems``.
    """
    path = Path(path)
    required = "a YAML file"
    try:
        raw = read_bytes(path, LARGEST)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        raise ConfigError(
            "the config file does not exist",
            required=required,
            got=str(path),
            fix=f"{did_you_mean(path.name, near)} (in that folder)" if near else "check the path",
        ) from None
    except OSError as error:
        what = "is too large" if error.errno == errno.EFBIG else "cannot be read"
        raise ConfigError(f"the config file {what}", required=required, got=f"{path}: {error.strerror}") from None
    return parse(_decoded(raw, path), str(path))


def _decoded(raw: bytes, path: Path) -> str:
    """Return the text of UTF-8 bytes; a byte order mark is left out."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0)
    # What comes before the first wrong byte is right, and tells its line and column.
    before = raw[:offset].decode("utf-8-sig", errors="replace").split("\n")
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "")
    got = f"it is {encoding}" if encoding else f"byte 0x{raw[offset]:02x}, byte offset {offset}"
    message = f"the config file is not UTF-8: {got}; save it as UTF-8"
    raise Document({}, str(path), "\n".join(before)).error_at((len(before) - 1, len(before[-1])), message)


def parse(text: str, name: str = "<config>") -> Document:
    """Parse YAML text; see ``read``."""
    document = Document({}, name, text)
    try:
        plain = _Plain(document).top(_composed(text, document))
    except RecursionError:  # the caller's own stack is deep already
        raise document.error_at((0, 0), _TOO_DEEP) from None
    if not isinstance(plain, dict):
        what = "the file is empty" if plain is None else f"the file holds {kind(plain)}"
        raise document.error_at((0, 0), f"{what}; required keys and values, such as 'seed: 0'")
    document.data = plain
    return document


def value(text: str) -> Any:
    """Return the plain value of a bit of YAML, such as ``0.01``, ``null`` or ``[1, 2]``.

    Raises:
        ConfigError: it is none.
    """
    document = Document({}, "value", text)
    try:
        values = _Plain(document).top(_composed(text, document))
    except RecursionError:  # the caller's own stack is deep already
        raise document.error_at((0, 0), _TOO_DEEP) from None
    if document.problems:
        raise document.error(document.problems)
    return values


def write(data: dict[str, Any], *, heading: str = "") -> str:
    """Return plain data as YAML text."""
    writer = _writer()
    out = io.StringIO()
    writer.dump(data, out)
    return "".join(f"# {line}\n" for line in heading.splitlines()) + out.getvalue()


def inline(data: Any) -> str:
    """Return plain data as YAML in one line, such as ``[0.9, 0.05, 0.05]``."""
    writer = _writer()
    writer.default_flow_style = True
    writer.width = LARGEST
    out = io.StringIO()
    writer.dump({"x": data}, out)  # in a section: text by itself would be followed by an end of the document
    return out.getvalue().strip().removeprefix("{x: ").removesuffix("}")


class _Plainly(SafeRepresenter):
    """Writes numbers and text so that readers of YAML 1.1, such as PyYAML, take them for the same as those of 1.2."""

    def represent_float(self, data: float) -> Any:
        node = super().represent_float(data)
        if "." not in node.value:  # 1e-05 is text in YAML 1.1
            node.value = node.value.replace("e", ".0e")
        return node

    def represent_str(self, data: str) -> Any:
        style = "'" if _OLDER.fullmatch(data) else None if data.isprintable() else '"'
        return self.represent_scalar(f"{_CORE}str", data, style=style)


_Plainly.add_representer(float, _Plainly.represent_float)
_Plainly.add_representer(str, _Plainly.represent_str)


def _writer() -> Any:
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _Plainly
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return writer


def _composed(text: str, document: Document) -> Node | None:
    if len(text) > LARGEST:
        raise document.error_at((0, 0), f"{len(text):,} characters, and at most {LARGEST:,} are read")
    try:
        root: Node | None = _reader().compose(text)
        return root
    except MarkedYAMLError as error:
        problem = str(error.problem or error.context or "not YAML")
        raise document.error_at(_mark(error), _in_words(problem)) from None
    except ReaderError as error:
        place = _position(text, int(error.position))
        raise document.error_at(place, f"not YAML: the control character U+{_code(error.character):04X}") from None
    except (YAMLError, ValueError) as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        raise document.error_at((0, 0), f"not YAML: {problem}") from None


class _Bounded(Composer):
    """Makes the tree of nodes, and stops where it gets too deep or too large."""

    levels = nodes = 0

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # an anchor that is used again is allowed

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.levels, self.nodes = self.levels + 1, self.nodes + 1
        if self.levels > DEEPEST or self.nodes > 2 * MOST_VALUES:  # a key is a node too
            problem = _TOO_DEEP if self.levels > DEEPEST else _TOO_MANY
            raise ComposerError(problem=problem, problem_mark=self.parser.peek_event().start_mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.levels -= 1


def _reader() -> Any:
    reader = YAML(typ="safe", pure=True)
    reader.Composer = _Bounded
    return reader


def _in_words(problem: str) -> str:
    if "\\t" in problem:
        return "not YAML: a tab, where YAML takes only spaces"
    if problem in (_TOO_DEEP, _TOO_MANY):
        return problem
    if problem.startswith("expected a single document") or "but found another document" in problem:
        return "not YAML: a second document in one file"
    return f"not YAML: {problem}"


def _mark(error: MarkedYAMLError) -> Position:
    mark = error.problem_mark or error.context_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


def _position(text: str, index: int) -> Position:
    before = text[:index].split("\n")
    return len(before) - 1, len(before[-1])


@dataclass
class _Plain:
    """Turns nodes into plain values, and notes positions and problems in the document on the way."""

    document: Document
    reader: YAML = field(default_factory=lambda: YAML(typ="safe", pure=True))
    count: int = 0
    #: The nodes around the one at hand: an alias to one of them would never end.
    around: list[int] = field(default_factory=list)

    def top(self, node: Node | None) -> Any:
        return None if node is None else self.value(node, ())

    def value(self, node: Node, path: Path_) -> Any:
        self.count += 1
        place = (node.start_mark.line, node.start_mark.column)
        if self.count > MOST_VALUES:
            raise self.document.error_at(place, _TOO_MANY, dotted(path))
        if len(path) > DEEPEST:
            raise self.document.error_at(place, _TOO_DEEP)
        self.document.values.setdefault(path, place)
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        if id(node) in self.around:
            raise self.document.error_at(place, "an alias within what it stands for", dotted(path))
        self.around.append(id(node))
        try:
            if isinstance(node, MappingNode) and self.plain(node, "map", path):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode) and self.plain(node, "seq", path):
                return [self.value(part, (*path, index)) for index, part in enumerate(node.value)]
        finally:
            self.around.pop()
        return None

    def plain(self, node: Node, kind: str, path: Path_) -> bool:
        """Return whether a node is of a kind; another tag is a problem."""
        if _tag(node) == _CORE + kind:
            return True
        self.refuse_tag(node, path)
        return False

    def refuse_tag(self, node: Node, path: Path_) -> None:
        tag = _tag(node).replace(_CORE, "!!")
        self.document.problems.append(Problem(path, f"the tag {tag!r} asks for an object; plain values only"))

    def scalar(self, node: ScalarNode, path: Path_) -> Any:
        construct = self.reader.constructor
        try:
            match _tag(node).removeprefix(_CORE):
                case "null":
                    return None
                case "bool":
                    return construct.construct_yaml_bool(node)
                case "int":
                    return construct.construct_yaml_int(node)
                case "float":
                    return construct.construct_yaml_float(node)
                case "str" | "timestamp":
                    return str(node.value)  # a date is text here
                case _:
                    self.refuse_tag(node, path)
        except (ValueError, OverflowError, KeyError, IndexError):
            shown = repr(node.value if len(node.value) <= 20 else f"{node.value[:20]}...")
            self.document.problems.append(Problem(path, f"cannot be read as a value: {shown}"))
        return None

    def mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        merged: list[Node] = []
        lines: dict[str, int] = {}
        for key, inner in node.value:
            place = (key.start_mark.line, key.start_mark.column)
            if not isinstance(key, ScalarNode):
                self.document.problems.append(Problem((*path, "?"), "a key that is no text", at_key=True))
                self.document.keys.setdefault((*path, "?"), place)
                continue
            if _tag(key) == f"{_CORE}merge":
                merged += inner.value if isinstance(inner, SequenceNode) else [inner]
                continue
            name = str(key.value)
            here = (*path, name)
            if name in entries:
                message = f"the key is here for the second time; the first is in line {lines[name] + 1}"
                self.document.problems.append(Problem(here, message, place=place))
                continue
            lines[name] = place[0]
            self.document.keys.setdefault(here, place)
            if isinstance(inner, ScalarNode) and not inner.value and not inner.style and not inner.anchor:
                # Where nothing is written after the colon, the node's place is that of what comes next.
                self.document.values.setdefault(here, place)
            entries[name] = self.value(inner, here)
        for other in merged:
            if isinstance(other, MappingNode):
                entries = {**self.value(other, path), **entries} if self.plain(other, "map", path) else entries
            else:
                self.document.problems.append(Problem(path, "<< takes in a section, or a list of them"))
        return entries


def _tag(node: Node) -> str:
    return str(node.tag)
