"""Pairs, captions, entities: what the sentences say is read back by other means."""

from __future__ import annotations

import datetime
import itertools
import re

import numpy as np
import pytest

from tinyseq.data.pairs import dates, reversal, sorting
from tinyseq.data.shapes import COLOURS, SHAPES, coloured_shapes
from tinyseq.data.tagging import entity_sentences, to_conll
from tinyseq.errors import DataError


def test_reversal_and_sorting():
    for source, target in reversal(300, 0, lengths=(2, 6), symbols=4):
        words = source.split(" ")
        assert 2 <= len(words) <= 6
        assert set(words) <= set("abcd")
        assert target.split(" ") == [words[-1 - i] for i in range(len(words))]
    for source, target in sorting(300, 0, lengths=(2, 6), symbols=4):
        words = target.split(" ")
        assert all(a <= b for a, b in itertools.pairwise(words))
        assert all(words.count(symbol) == source.split(" ").count(symbol) for symbol in "abcd")
    assert {len(source.split()) for source, _ in reversal(300, 0, lengths=(2, 6))} == {2, 3, 4, 5, 6}
    with pytest.raises(DataError, match="1 to 26"):
        reversal(1, 0, symbols=27)
    with pytest.raises(DataError, match="least"):
        sorting(1, 0, lengths=(0, 3))


MONTHS = {name: i + 1 for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())}  # noqa: SIM905


def read_date(text):
    """Read a date by its parts: a year of four digits, a month by name or by its place, a day."""
    text = text.lower()
    if numbers := re.fullmatch(r"(\d+)\.(\d+)\.(\d{4})", text):
        day, month, year = map(int, numbers.groups())
        return datetime.date(year, month, day)
    words = re.findall(r"[a-z]+|\d+", text)
    year = next(int(word) for word in words if len(word) == 4 and word.isdigit())
    month = next(MONTHS[word[:3]] for word in words if word[:3] in MONTHS)
    day = next(int(word) for word in words if word.isdigit() and len(word) <= 2)
    return datetime.date(year, month, day)


def test_dates_are_read_back():
    pairs = dates(3000, 1)
    names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    for text, iso in pairs:
        date = datetime.date.fromisoformat(iso)
        assert read_date(text) == date
        assert 1900 <= date.year <= 2099
        for name in names:
            if re.search(rf"\b{name}\b|\b{name[:3]}\b", text.lower()):
                assert names[date.weekday()] == name
    assert len({re.sub(r"[a-z]+", "x", re.sub(r"\d", "9", text.lower())) for text, _ in pairs}) > 20
    assert any("11th" in text for text, _ in pairs)
    assert not any(re.search(r"11st|12nd|13rd|[^1]1th|[^1]2th|[^1]3th", text) for text, _ in pairs)
    with pytest.raises(DataError, match="first <= last"):
        dates(1, 0, years=(2000, 1999))


def test_shapes_show_what_their_captions_say():
    pictures, captions = coloured_shapes(400, 3, noise=0.0)
    assert pictures.shape == (400, 16, 16, 3)
    assert pictures.dtype == np.float32
    areas: dict[str, list[int]] = {"small": [], "large": []}
    for picture, caption in zip(pictures, captions, strict=True):
        words = re.fullmatch(
            r"a (small|large) (\w+) (\w+)(?: (above|below|left of|right of) a (small|large) (\w+) (\w+))?", caption
        )
        assert words, caption
        size, colour, shape, relation, size2, colour2, shape2 = words.groups()
        assert colour in COLOURS
        assert shape in SHAPES

        def pixels(name, picture=picture):
            return np.argwhere(np.abs(picture - np.array(COLOURS[name], np.float32)).max(-1) < 1e-3)

        first = pixels(colour)
        assert len(first) >= 4
        shown = {tuple(value) for value in picture.reshape(-1, 3).round(3).tolist()} - {(0.0, 0.0, 0.0)}
        assert len(shown) == len({colour, colour2} - {None})
        if relation is None or colour == colour2:
            if relation is None and shape == "square":
                areas[size].append(len(first))
            continue
        assert (colour, shape) != (colour2, shape2)
        difference = first.mean(0) - pixels(colour2).mean(0)
        rows, columns = difference
        assert {"above": rows < 0, "below": rows > 0, "left of": columns < 0, "right of": columns > 0}[relation]
        assert size2 in ("small", "large")
    assert max(areas["small"]) < min(areas["large"])
    assert 120 < sum(" of " in c or "above" in c or "below" in c for c in captions) < 280


def test_shapes_noise_and_sizes():
    noisy, _ = coloured_shapes(5, 3, noise=0.2)
    assert noisy.min() >= 0.0
    assert noisy.max() <= 1.0
    clean, _ = coloured_shapes(5, 3, noise=0.0)
    assert (noisy != clean).any()
    assert coloured_shapes(2, 0, size=9).pictures.shape == (2, 9, 9, 3)
    with pytest.raises(DataError, match="at least 8"):
        coloured_shapes(1, 0, size=7)


def test_entities_are_tagged_in_iob2():
    sentences = entity_sentences(2000, 5)
    kinds = set()
    for sentence in sentences:
        before = "O"
        for word, tag in sentence:
            assert re.fullmatch(r"O|[BI]-(PER|ORG|LOC|MISC)", tag)
            assert re.fullmatch(r"\S+", word)
            if tag.startswith("I-"):
                assert before != "O"
                assert before[2:] == tag[2:]
            kinds.add(tag)
            before = tag
        assert not sentence[0][0][0].islower()
    assert len(kinds) >= 8


def test_entities_are_not_trivial():
    """The tag of a word, chosen by counting in half of the sentences, is wrong too often in the other half."""
    sentences = entity_sentences(4000, 6)
    train, held_out = sentences[:2000], sentences[2000:]
    counts: dict[str, dict[str, int]] = {}
    for sentence in train:
        for word, tag in sentence:
            counts.setdefault(word, {}).setdefault(tag, 0)
            counts[word][tag] += 1
    entity, right = 0, 0
    for sentence in held_out:
        for word, tag in sentence:
            if tag != "O":
                entity += 1
                right += max(counts.get(word, {"O": 1}).items(), key=lambda item: item[1])[0] == tag
    assert 0.5 < right / entity < 0.9

    def spans(sentences):
        return {" ".join(w for w, t in s if t.endswith("PER")) for s in sentences}

    assert len(spans(held_out) - spans(train)) > 0.5 * len(spans(held_out))


def test_conll_text():
    text = to_conll([[("Ada", "B-PER"), ("runs", "O")], [("Oslo", "B-LOC")]])
    assert text == "Ada B-PER\nruns O\n\nOslo B-LOC\n\n"
    sentences = entity_sentences(30, 1)
    blocks = to_conll(sentences).strip("\n").split("\n\n")
    assert [[tuple(line.split(" ")) for line in block.split("\n")] for block in blocks] == sentences


@pytest.mark.parametrize(
    "make", [reversal, sorting, dates, entity_sentences, lambda n, s: coloured_shapes(n, s).captions]
)
def test_the_seed_decides(make):
    assert make(20, 1) == make(20, 1)
    assert make(20, 1) != make(20, 2)
    rng = np.random.default_rng(1)
    assert make(20, rng) == make(20, 1)
    assert make(20, rng) != make(20, 1)


def test_shapes_with_two_relations_have_one_true_caption():
    captions = coloured_shapes(200, 1, relations=("above", "left of")).captions
    assert not any("below" in caption or "right of" in caption for caption in captions)
    assert any("above" in caption for caption in captions)
    with pytest.raises(DataError, match="relations"):
        coloured_shapes(1, 0, relations=("over",))
