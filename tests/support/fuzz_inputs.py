"""What the fuzz tests share: inputs made to break readers, the readers, and how a result is judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tinyseq.data.conll import read_conll
from tinyseq.data.examples import read_sequences, read_texts, read_vectors, read_wide
from tinyseq.data.features import read_features
from tinyseq.data.sentences import read_pairs
from tinyseq.data.series import SeriesPlan, read_many
from tinyseq.data.tables import read_table
from tinyseq.data.text import load_text
from tinyseq.data.tokens import LEVELS, build_vocabulary
from tinyseq.errors import ConfigError, TinyseqError
from tinyseq.train.config.run_config import load_config

CORPUS = Path(__file__).parents[1] / "corpus"
EXAMPLES = Path(__file__).parents[2] / "examples"
LIVES = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.yaml"))]


def config(path: Path) -> None:
    """Read a config; its message must be one that a terminal shows as it is, each problem at a place of the file."""
    try:
        load_config(path)
    except ConfigError as error:
        message = str(error)
        assert message.strip()
        assert all(c.isprintable() or c in "\n\t" for c in message)
        raise


def text(path: Path) -> None:
    """Read a text, and cut and encode it at both levels."""
    corpus = load_text(path)
    for level in LEVELS.values():
        tokens = level.cut(corpus.text)
        vocabulary = build_vocabulary([tokens], min_count=2)
        vocabulary.encode(tokens)


def series(path: Path) -> None:
    read_many(path, plan=SeriesPlan(time="year", time_may_lack=True, missing="carry"))


def conll(path: Path) -> None:
    for options in ({"scheme": "bilou", "comments": True}, {"format": "conllu"}, {"targets": False}):
        try:
            read_conll(path, **options)
        except TinyseqError:
            if "targets" in options:
                raise


def tables(path: Path) -> None:
    table = read_table(path)
    for reader in (table.texts, lambda name: table.numbers([name])):
        try:
            reader(table.columns[0])
        except TinyseqError:
            continue
    read_table(path, header=False)


def examples(path: Path) -> None:
    """All kinds of examples; one that a file is not of is refused, and the last one's word holds."""
    for read in (
        lambda: read_texts(path, text="text", target="label"),
        lambda: read_vectors(path, columns=None, target="label", kind="label"),
        lambda: read_wide(path, columns=None, target="label", kind="label"),
        lambda: read_sequences(path, sequence="text", columns=None, target="label", kind="number"),
    ):
        try:
            read()
        except TinyseqError as error:
            last = error
        else:
            last = None
    if last is not None:
        raise last


def pairs(path: Path) -> None:
    read_pairs(path, targets=False)


def features(path: Path) -> None:
    read_features(path, caption="caption")


#: Reader -> the suffix of its files, and files that it takes, for mutations.
READERS: dict[str, tuple[Callable[[Path], None], str, list[bytes]]] = {
    "config": (config, ".yaml", LIVES),
    "text": (text, ".txt", [b"The quick brown fox,\r\nit's 3.5 <unk>\n", "é – “x”\n".encode()]),
    "series": (series, ".csv", [b"year,a,b\n1700,1,2\n1701,3,-4e5\n1702,,6\n", b'a;b\n1;"2"\n\n3;nan\n4;5\n']),
    "conll": (
        conll,
        ".conll",
        [
            b"# c\n-DOCSTART- O\n\nAda B-PER\nAdams I-PER\nleft O\n\nParis\tB-LOC\n",
            b"#\tO\nAda Adams\tS-PER\n \nEU\tU-ORG\n",
            b"# newdoc\n1-2\ta\t_\t_\t_\t_\t_\t_\t_\t_\n1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n1.1\tb\t_\t_\t_\t_\t_\t_\t_\t_\n",
            b"# global.columns = ID FORM UPOS NER\n1\ta\tX\tB-Y\n",
        ],
    ),
    "tables": (tables, ".csv", [b'a,b\n"x ""y""",1\n2,"3\n4"\n', b"a\tb\n1\t2\n"]),
    "examples": (examples, ".tsv", [b"label\ttext\tx\n1\ta\t0.5\n1\ta\t1e3\n2\tb\t3\n"]),
    "pairs": (pairs, ".tsv", [b"a b\tc d\n\ne\tf\ng\n"]),
    "features": (
        features,
        ".jsonl",
        [b'{"features": [1, 2.5], "caption": "a b", "name": "n"}\n', b'{"features": [[1], [2]], "caption": "x"}\n'],
    ),
    "feature tables": (features, ".csv", [b"caption,a,b\nx y,1,2\nz,3,4\n"]),
}

#: Bits that parsers stumble over.
_PIECES = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\t", b"\r", b"\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x1b[31m",
    b"\x85", b"\xc2\x85", "\u2028".encode(), "\u202e".encode(), b"\xed\xa0\x80", "日".encode(), b"&a ", b"*a",
    b"<<: *a\n", b"!!python/object:os.system ", b"!!binary ", b"? ", b"- ", b": ", b"{", b"}", b"[", b"]", b"[" * 60,
    b"{a: " * 60, b"|", b">", b"%YAML 1.1\n---\n", b"---\n", b"...\n", b"'", b'"', b'"\\', b"#", b",", b";", b"1e999",
    b"-0", b".nan", b".inf", b"0x", b"0b2", b"9" * 400, b"9" * 5000, b"1_0", b"2001-99-99", b"null", b"~", b"true",
    b"NaN", b"Infinity", b"1e400", b"-DOCSTART-", b"B-", b"I-X", b"\\u0000", b"\\ud800", b"x" * 300,
    b"../../etc/passwd", b"/dev/zero", b"cell: os:system\n", b"lr: 0.1\n", b"task: ", b"name: ..\n",
    b"train: {steps: ", b'"a": ', b'{"features": ', b"label", b"text",
]  # fmt: skip


@st.composite
def mutated(draw: Any, seeds: list[bytes]) -> bytes:
    """A file that its reader takes, cut, doubled, and with bits put in at some places."""
    found = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted((draw(st.integers(0, len(found))), draw(st.integers(0, len(found)))))
        match draw(st.integers(0, 4)):
            case 0:
                found = found[:a] + found[b:]
            case 1:
                found = found[:a] + draw(st.sampled_from(_PIECES)) + found[a:]
            case 2:
                found = found[:a] + draw(st.sampled_from(_PIECES)) + found[b:]
            case 3:
                found = found[:b] + found[a:b] + found[b:]
            case _:
                found = found[:a] + draw(st.binary(max_size=4)) + found[a:]
    return found[:20_000]


def hostile(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Mutations of good files, heaps of what parsers stumble over, any text, any bytes."""
    heaps = st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join)
    return st.one_of(mutated(seeds), mutated(seeds), heaps, st.text(max_size=60).map(_encoded), st.binary(max_size=60))


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", errors="surrogatepass")
