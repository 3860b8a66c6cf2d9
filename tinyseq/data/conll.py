"""Tagged sentences in the forms of CoNLL: a word a line with its tag, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from tinyseq.data import schemes
from tinyseq.data.columns import (
    WordLine,
    choose,
    column_number,
    cut,
    cutter,
    header,
    is_document,
    shown,
    width_of,
    words_among_comments,
)
from tinyseq.data.compressed import suffix
from tinyseq.data.delimited import question, refuse_other_forms
from tinyseq.data.text import load_text
from tinyseq.errors import DataError

#: The tag of a word that has none: it is neither learned from nor judged.
UNTAGGED: Final = ""
#: The columns of CoNLL-U, and of CoNLL-X with other names.
CONLLU: Final = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_GLOBAL: Final = re.compile(r"#\s*global\.columns\s*=\s*(.*\S)")
#: A word, a range of words (1-2, of which one is written), or an empty node (5.1, of which none is).
_ID: Final = re.compile(r"(\d+)((?:-\d+)|(?:\.\d+))?")


class Tagged(NamedTuple):
    """A sentence: its words, and a tag for each, or None where they are not known."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TaggedForm:
    """What a file was read as: its format, its columns' names, which are word and tag (from 0), and the tags' scheme.

    ``broken`` is how many tags break the scheme.
    """

    format: str
    columns: tuple[str, ...]
    word: int
    tag: int | None
    scheme: str = "none"
    broken: int = 0

    def described(self) -> dict[str, Any]:
        """Return the form in words; plain JSON."""
        names = [name if name == str(i) else f"{i} {name}" for i, name in enumerate(self.columns, start=1)]
        told: dict[str, Any] = {"format": self.format, "word": f"column {names[self.word]}"}
        if self.tag is not None:
            told["tag"] = f"column {names[self.tag]}"
            told["scheme"] = self.scheme + (f", {self.broken} ill-formed, as conlleval reads" if self.broken else "")
        return told


class TaggedFile(NamedTuple):
    """A file's sentences, the number of the document that each is of, and what the file was read as."""

    sentences: list[Tagged]
    documents: list[int]
    form: TaggedForm


def read_conll(
    path: str | Path,
    *,
    targets: bool = True,
    scheme: str = "auto",
    format: str = "auto",
    word: int | str | None = None,
    tag: int | str | None = None,
    comments: bool | None = None,
) -> list[Tagged]:
    """Return the sentences of ``read_tagged``."""
    asked = {"format": format, "word": word, "tag": tag, "comments": comments}
    return read_tagged(path, targets=targets, scheme=scheme, **asked).sentences  # type: ignore[arg-type]


def read_tagged(
    path: str | Path,
    *,
    targets: bool = True,
    scheme: str = "auto",
    format: str = "auto",
    word: int | str | None = None,
    tag: int | str | None = None,
    comments: bool | None = None,
    like: TaggedForm | None = None,
) -> TaggedFile:
    """Read a UTF-8 file of a word a line, an empty line after each sentence.

    CoNLL-U and CoNLL-U Plus are known by their ten columns or their ``# global.columns``; the words are those of the
    syntax: ranges (1-2) and empty nodes (5.1) are passed over. Any other file has columns, separated by tabs where
    every line has one, else by blanks; lines ``-DOCSTART-`` begin a document. Lines that begin with ``#`` are comments
    unless they have a word's columns.

    Args:
        path: the file.
        targets: whether each word must have its tag; else a file of words alone is taken too.
        scheme: "auto"; a key of ``SCHEMES``, which the tags then have to be of; "none" for tags that are no entities,
            such as parts of speech. Tags of entities come as IOB2, whatever they are in the file.
        format: "auto", "conllu" or "columns".
        word, tag: the columns, by name or by number from 1; None: FORM and UPOS, or what ``choose`` finds.
        comments: whether lines that begin with ``#`` are comments; None: told by their columns.
        like: what another file was read as; one with as many columns is read in the same way.

    Raises:
        DataError: the file cannot be read; a line has too few columns or another number than others, or a tag that is
            not of the scheme; or the columns are uncertain. The message names the line.
    """
    lines = load_text(path).text.split("\n")
    if format == "auto":
        format = "conllu" if _is_conllu(Path(path), lines) else "columns"
    sentences, documents, names = (
        _conllu(path, lines) if format == "conllu" else _columns(path, lines, comments, like, word, tag)
    )
    if not sentences:
        raise DataError("a file without sentences", required="words with tags, a line each", got=str(path))
    form = _form(path, format, sentences, names, (word, tag), targets, scheme, like)
    rows, form = _tagged(path, sentences, form, targets, scheme)
    return TaggedFile(rows, documents, form)


def is_prose(path: str | Path, form: TaggedForm | None, tags: Collection[str]) -> bool:
    """Return whether a text file has a sentence a line, not a word a line as files of tags do.

    Args:
        path: the file.
        form: what the training file was read as.
        tags: those that are known.
    """
    lines = load_text(path).text.strip("\n").split("\n")
    full = [line for line in lines if line.strip()]
    if _is_conllu(Path(path), lines) or all("\t" in line.strip() for line in full if line[0] != "#"):
        return False
    rows = [line.split() for line in full if not is_document(line)]
    if all(len(row) == 1 for row in rows):
        return len(full) == len(lines)  # empty lines part sentences of a word a line
    if form is None or form.tag is None:
        return True
    width, tag = len(form.columns), form.tag
    return not all(len(row) == width and row[tag] in tags for row in rows if row[0] != "#")


def _is_conllu(path: Path, lines: Sequence[str]) -> bool:
    if suffix(path) in (".conllu", ".conllup") or any(_GLOBAL.match(line) for line in lines[:1]):
        return True
    rows = [line.split("\t") for line in lines if line.strip() and line[0] != "#"]
    return bool(rows) and all(len(row) == len(CONLLU) and _ID.fullmatch(row[0]) for row in rows)


def _conllu(path: str | Path, lines: Sequence[str]) -> tuple[list[list[WordLine]], list[int], tuple[str, ...]]:
    """Return the word lines of each sentence, its document, and the columns' names."""
    names = CONLLU
    tabs = any("\t" in line for line in lines)
    sentences: list[list[WordLine]] = []
    documents: list[int] = []
    document, fresh = 0, True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            fresh = True
        elif line[0] == "#":
            if found := _GLOBAL.match(line):
                names = tuple(found[1].split())
            document += line[1:].split()[:1] == ["newdoc"]
        else:
            fields = line.split("\t") if tabs else line.split()
            if len(fields) != len(names):
                raise _ragged(
                    path,
                    number,
                    line,
                    f"{len(names)}: {' '.join(names)}",
                    len(fields),
                    "data: {format: columns}, if this is no CoNLL-U",
                )
            if fresh:
                sentences.append([])
                documents.append(document)
                fresh = False
            if "ID" not in names or _is_word(fields[names.index("ID")], len(sentences[-1]), f"{path}, line {number}"):
                sentences[-1].append(WordLine(number, fields))
    kept = [row for row, sentence in enumerate(sentences) if sentence]
    return [sentences[row] for row in kept], [documents[row] for row in kept], names


def _is_word(field: str, before: int, where: str) -> bool:
    """Return whether an ID is that of a word; ``before`` is how many the sentence has so far."""
    found = _ID.fullmatch(field)
    if found is None or (not found[2] and int(found[1]) != before + 1):
        raise DataError(
            "not the next ID of a sentence",
            required=f"{before + 1}, or a range or an empty node",
            got=repr(field),
            where=where,
            fix="an empty line between sentences" if field == "1" else "data: {format: columns}, if this is no CoNLL-U",
        )
    return not found[2]


def _columns(
    path: str | Path, lines: Sequence[str], comments: bool | None, like: TaggedForm | None, *asked: int | str | None
) -> tuple[list[list[WordLine]], list[int], tuple[str, ...]]:
    """Return the word lines of each sentence, its document, and the columns' names."""
    full = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and not is_document(line)]
    marked = [] if comments is False else [(number, line) for number, line in full if line[0] == "#"]
    plain = [line for number, line in full if comments is False or line[0] != "#"]
    if not plain and comments is None:
        marked, plain = [], [line for _, line in full]
    if not plain:
        return [], [], ()
    refuse_other_forms(path, plain)
    separator = cutter(plain)
    left_out = {number for number, _ in marked}
    cuts = {number: cut(line, separator) for number, line in full if number not in left_out}
    named = header(WordLine(1, re.split("[,;]", plain[0])), asked, ())
    if named or all(len(fields) == 1 and re.search("[,;]", fields[0]) for fields in cuts.values()):
        raise DataError(
            "a file separated by commas or semicolons",
            required="a word, a tab or a space, its tag; an empty line after each sentence",
            got=repr(plain[0][:60]),
            where=f"{path}, line {full[0][0]}",
            fix="write the columns of word and tag with a tab between them",
        )
    while all(len(fields) > 1 and not fields[-1] for fields in cuts.values()):
        cuts = {number: fields[:-1] for number, fields in cuts.items()}  # a tab at the end of every line
    width = width_of([WordLine(number, fields) for number, fields in cuts.items()])
    first = next(iter(cuts))
    names = tuple(map(str, range(1, width + 1)))
    if len(cuts[first]) == width and header(WordLine(first, cuts[first]), asked, () if like is None else like.columns):
        names = tuple(name.strip() for name in cuts.pop(first))
    if comments is None and marked:
        tags = {fields[-1] for fields in cuts.values() if len(fields) == width}
        words = words_among_comments(
            marked, separator, width, tags, str(path), lambda number: number > 1 and (number - 1) in cuts
        )
        cuts |= {number: cut(line, separator) for number, line in marked if number in words}
    return *_grouped(path, lines, cuts, width), names


def _grouped(
    path: str | Path, lines: Sequence[str], cuts: dict[int, list[str]], width: int
) -> tuple[list[list[WordLine]], list[int]]:
    """Return the sentences of cut lines, and the document of each."""
    sentences: list[list[WordLine]] = []
    documents: list[int] = []
    document, fresh = 0, True
    for number, line in enumerate(lines, start=1):
        if fields := cuts.get(number):
            if len(fields) == 1 < width:
                raise DataError(
                    "a word without its tag", required="a word, a tab or a space, its tag", got=repr(line[:60]),
                    where=f"{path}, line {number}",
                )  # fmt: skip
            if len(fields) != width:
                raise _ragged(
                    path,
                    number,
                    line,
                    f"{width}, as in most lines",
                    len(fields),
                    "an empty line between sentences; tabs between columns, where words have spaces",
                )
            if fresh:
                sentences.append([])
                documents.append(document)
                fresh = False
            sentences[-1].append(WordLine(number, fields))
        elif not line.strip() or is_document(line):
            fresh = True
            document += bool(line.strip())
    return sentences, documents


def _ragged(path: str | Path, number: int, line: str, width: str, got: int, fix: str) -> DataError:
    return DataError(
        "a line with another number of columns",
        required=width,
        got=f"{got}: {line[:60]!r}",
        where=f"{path}, line {number}",
        fix=fix,
    )


def _form(
    path: str | Path,
    format: str,
    sentences: Sequence[Sequence[WordLine]],
    names: tuple[str, ...],
    asked: tuple[int | str | None, int | str | None],
    targets: bool,
    scheme: str,
    like: TaggedForm | None,
) -> TaggedForm:
    """Return which columns are the word and the tag."""
    known = _as_before(like, format, names, targets)
    if known is not None:
        return known
    word, tag = (
        None
        if one is None or (key == "tag" and not targets and not _there(one, names))
        else column_number(one, names, str(path), key)
        for key, one in zip(("word", "tag"), asked, strict=True)
    )
    if format == "columns":
        choice = choose(sentences, names, word=word, tag=tag, targets=targets, scheme=scheme, where=str(path))
        return TaggedForm(format, names, choice.word, choice.tag)
    if word is None:
        word = column_number("FORM", names, str(path), "word")
    if all(line.fields[word] == "_" for lines in sentences for line in lines):
        raise DataError(
            "a file whose words are left out",
            required=f"words in the column {names[word]}",
            got="only _",
            where=str(path),
            fix="merge them in from the text that the treebank's README names",
        )
    return TaggedForm(format, names, word, _conllu_tag(path, sentences, names, targets) if tag is None else tag)


def _as_before(like: TaggedForm | None, format: str, names: tuple[str, ...], targets: bool) -> TaggedForm | None:
    """Return the columns of a file like another, the same by name, or, where they have none, by number."""
    if like is None or like.format != format:
        return None
    if not all(name.isdecimal() for name in names):
        wanted = [None if i is None else like.columns[i] for i in (like.word, like.tag)]
        found = [names.index(name) if name in names else None for name in wanted]
        if found[0] is not None and (found[1] is not None or not targets):
            return TaggedForm(format, names, found[0], found[1])
        return None
    if len(like.columns) == len(names):
        return TaggedForm(format, names, like.word, like.tag)
    return None if targets else TaggedForm(format, names, like.word if like.word < len(names) else 0, None)


def _there(name: int | str, names: Sequence[str]) -> bool:
    return int(name) <= len(names) if isinstance(name, int) or name.isdecimal() else name in names


def _conllu_tag(
    path: str | Path, sentences: Sequence[Sequence[WordLine]], names: tuple[str, ...], targets: bool
) -> int | None:
    """Return the column of tags that a CoNLL-U file means if nobody says so: UPOS, where no other is in question."""
    filled = [i for i, _ in enumerate(names) if any(line.fields[i] != "_" for lines in sentences for line in lines)]
    upos = names.index("UPOS") if "UPOS" in names else -1
    others = [i for i in filled if names[i] not in CONLLU]
    if upos in filled and not others:
        return upos
    if not targets:
        return None
    tags = [i for i in filled if names[i] == "XPOS"] if upos not in filled and not others else [*others, upos][:3]
    raise question(
        "uncertain which column is the tag: " + ("columns beside the usual ten" if others else "nothing in UPOS but _"),
        shown(sentences),
        required="data.tag, a column by name or number",
        where=str(path),
        fix=", or ".join(f"data: {{tag: {names[i]!r}}}" for i in tags if i >= 0) or f"one of: {', '.join(names)}",
    )


def _tagged(
    path: str | Path, sentences: Sequence[Sequence[WordLine]], form: TaggedForm, targets: bool, scheme: str
) -> tuple[list[Tagged], TaggedForm]:
    """Return words and tags, tags of entities as IOB2; and the form with the tags' scheme."""
    words = [tuple(line.fields[form.word].strip(" \t") for line in lines) for lines in sentences]
    for lines, of_sentence in zip(sentences, words, strict=True):
        if "" in of_sentence:
            number = lines[of_sentence.index("")].number
            raise DataError(
                "a line without its word",
                required=f"a word in column {form.word + 1}",
                got="nothing",
                where=f"{path}, line {number}",
            )
    if form.tag is None:
        if targets:
            raise DataError(
                "a word without its tag",
                required="a word, a tab or a space, its tag",
                got=repr(words[0][0]),
                where=f"{path}, line {sentences[0][0].number}",
            )
        return [Tagged(one) for one in words], form
    # An underscore leaves a column of CoNLL-U open, but in these it says that there is nothing to say.
    gap = "_" if form.format == "conllu" and form.columns[form.tag] not in ("FEATS", "DEPS", "MISC") else UNTAGGED
    raw = [[line.fields[form.tag].strip(" \t") for line in lines] for lines in sentences]
    if not schemes.outside({tag for tags in raw for tag in tags}):
        raw = [[UNTAGGED if tag == gap else tag for tag in tags] for tags in raw]
    values = {tag for tags in raw for tag in tags} - {UNTAGGED}
    if not values and not targets:
        return [Tagged(one) for one in words], replace(form, tag=None)
    for lines, tags in zip(sentences, raw, strict=True):
        if targets and UNTAGGED in tags and (form.format == "columns" or not values):
            line = lines[tags.index(UNTAGGED)]
            raise DataError(
                "a word without its tag",
                required=f"a tag in column {form.columns[form.tag]}",
                got=repr("\t".join(line.fields)[:60]),
                where=f"{path}, line {line.number}",
                fix="data.tag, another column" if not values else "",
            )
    tagged, scheme, broken = _read_scheme(path, sentences, raw, values, scheme)
    return [*map(Tagged, words, tagged)], replace(form, scheme=scheme, broken=broken)


def _read_scheme(
    path: str | Path, sentences: Sequence[Sequence[WordLine]], raw: list[list[str]], values: set[str], scheme: str
) -> tuple[list[tuple[str, ...]], str, int]:
    """Return each sentence's tags, of entities as IOB2; the scheme, and how many tags break it.

    Raises:
        DataError: a tag is not of the scheme that was asked for, or some tags are of entities and some are not.
    """
    pattern = schemes.written_as(values)
    if pattern is None and scheme != "none" and (mark := schemes.outside(values)):
        raw = [["O" if tag == mark else tag for tag in tags] for tags in raw]
        values = {*values, "O"} - {mark}
        pattern = schemes.written_as(values)
    if scheme == "auto" and pattern is None and (strange := schemes.partly_entities(values)):
        number = next(
            line.number
            for lines, tags in zip(sentences, raw, strict=True)
            for line, tag in zip(lines, tags, strict=True)
            if tag == strange[0]
        )
        raise DataError(
            "not a tag of named entities, as most are",
            required="O, B-KIND or I-KIND",
            got=", ".join(map(repr, strange[:5])),
            where=f"{path}, line {number}",
            fix="data: {scheme: none}, if the tags are of no entities; else correct it",
        )
    if scheme == "none" or (scheme == "auto" and pattern is None and values != {"O"}):
        return [tuple(tags) for tags in raw], "none", 0
    if pattern is not None:
        raw = [[schemes.usual(tag, pattern) for tag in tags] for tags in raw]
    broken = 0
    if scheme == "auto":
        scheme, broken = schemes.name_of(raw)
    else:
        for lines, tags in zip(sentences, raw, strict=True):
            _hold(path, lines, tags, scheme)
    found = [schemes.to_iob2(tags) for tags in raw]
    kept = [
        tuple(UNTAGGED if tag == UNTAGGED else new for tag, new in zip(tags, news, strict=True))
        for tags, news in zip(raw, found, strict=True)
    ]
    return kept, scheme, broken


def _hold(path: str | Path, lines: Sequence[WordLine], tags: Sequence[str], scheme: str) -> None:
    """Raise a DataError where a sentence's tags are not of the scheme."""
    for line, tag in zip(lines, tags, strict=True):
        if tag != UNTAGGED:
            schemes.checked(tag, scheme, f"{path}, line {line.number}")
    wrong = [] if scheme == "iob1" else schemes.faults(tags, scheme)
    if wrong:
        position, how = wrong[0]
        begins = position < len(tags) and schemes.continues(tags[position])
        raise DataError(
            f"an entity that does not {'begin' if begins else 'end'}",
            required=f"B-{tags[position][2:]} at its first word" if begins else "a tag that ends it",
            got=how,
            where=f"{path}, line {lines[min(position, len(tags) - 1)].number}",
            fix="data: {scheme: auto}, which reads it as conlleval does"
            + ("; or iob1, if the file is written so" if scheme in ("iob2", "bio") else ""),
        )


def most_frequent_tags(sentences: Sequence[Tagged]) -> tuple[dict[str, str], str]:
    """Return each word's most frequent tag, and the most frequent of all, for words that were never seen."""
    counts: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags or (), strict=True):
            if tag == UNTAGGED:
                continue
            of_word = counts.setdefault(word, {})
            of_word[tag] = of_word.get(tag, 0) + 1
            totals[tag] = totals.get(tag, 0) + 1
    best = {word: max(sorted(of_word), key=of_word.__getitem__) for word, of_word in counts.items()}
    return best, max(sorted(totals), key=totals.__getitem__)
