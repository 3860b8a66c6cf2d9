"""The F1 of entities against seqeval and conlleval, on files of each form and on tags at random."""

from __future__ import annotations

import random

import pytest

from tinyseq.data.conll import read_tagged
from tinyseq.data.measures import span_scores, spans
from tinyseq.data.schemes import to_iob2
from tinyseq.data.tagging import entity_sentences

seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed: pip install tinyseq[parity]")

pytestmark = pytest.mark.parity


def conlleval(expected: list[list[str]], found: list[list[str]]) -> float:
    """Return the F1 as conlleval of Tjong Kim Sang and Buchholz counts it, from its rules for the IOB tags."""

    def starts(before: str, tag: str) -> bool:
        kinds_differ = before[2:] != tag[2:]
        pairs = ("BB", "IB", "OB", "OI")  # startOfChunk
        return before[0] + tag[0] in pairs or (tag[0] != "O" and kinds_differ)

    def ends(before: str, tag: str) -> bool:
        pairs = ("BB", "BO", "IB", "IO")  # endOfChunk
        return before[0] + tag[0] in pairs or (before[0] != "O" and before[2:] != tag[2:])

    def chunks(sentences: list[list[str]]) -> set[tuple[str, int, int]]:
        flat = ["O", *(tag for tags in sentences for tag in [*tags, "O"])]
        got, begin = set(), 0
        for i in range(1, len(flat)):
            if ends(flat[i - 1], flat[i]):
                got.add((flat[i - 1][2:], begin, i))
            if starts(flat[i - 1], flat[i]):
                begin = i
        return got

    gold, guess = chunks(expected), chunks(found)
    return 2 * len(gold & guess) / (len(gold) + len(guess))


def iob1(tags: list[str]) -> list[str]:
    """Return IOB2 tags as IOB1: B- only between entities of one kind."""
    pairs = zip(["O", *tags], tags, strict=False)
    return ["I" + tag[1:] if tag[0] == "B" and before[1:] != tag[1:] else tag for before, tag in pairs]


def ended(tags: list[str], last: str, single: str, inside: str = "I") -> list[str]:
    """Return IOB2 tags with letters of their own for the last word of an entity and for one of a single word."""
    found = []
    for tag, after in zip(tags, [*tags[1:], "O"], strict=True):
        goes_on = after[0] == "I"
        letter = {"B": "B" if goes_on else single, "I": inside if goes_on else last, "O": ""}[tag[0]]
        found.append(letter + tag[1:] if letter else "O")
    return found


FORMS = {
    "CoNLL-2003": lambda word, tag: f"{word} NNP I-NP {tag}",
    "CoNLL-2002, Spanish": lambda word, tag: f"{word} {tag}",
    "CoNLL-2002, Dutch": lambda word, tag: f"{word} N {tag}",
    "WNUT-17": lambda word, tag: f"{word}\t{tag}",
    "tag first": lambda word, tag: f"{tag}\t{word}",
}
SCHEMES = {
    "iob2": list,
    "iob1": iob1,
    "iobes": lambda tags: ended(tags, "E", "S"),
    "bilou": lambda tags: ended(tags, "L", "U"),
    "bmes": lambda tags: ended(tags, "E", "S", "M"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("form", FORMS)
def test_f1_on_a_file_is_that_of_seqeval_and_conlleval(form, scheme, tmp_path):
    rng = random.Random(f"{form} {scheme}")
    made = entity_sentences(60, 4)
    gold = [[tag for _, tag in sentence] for sentence in made]
    words = [[word for word, _ in sentence] for sentence in made]
    # What a model might say: tags of other words, so that entities are cut, joined and begun with I-.
    guess = [[rng.choice(tags) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
    path = tmp_path / "a.txt"
    lines = (
        "".join(FORMS[form](word, tag) + "\n" for word, tag in zip(*pair, strict=True)) + "\n"
        for pair in zip(words, map(SCHEMES[scheme], gold), strict=True)
    )
    path.write_text("".join(lines), encoding="utf-8")
    found = read_tagged(path)
    read = [list(sentence.tags or ()) for sentence in found.sentences]
    assert [list(sentence.words) for sentence in found.sentences] == words
    assert (read, found.form.scheme) == (gold, scheme)
    score = span_scores(read, guess)["all"]
    assert 0.3 < score.f1 < 0.95
    assert score.f1 == pytest.approx(seqeval.f1_score(gold, guess), abs=1e-12)
    assert score.f1 == pytest.approx(conlleval(gold, guess), abs=1e-12)
    assert score.precision == pytest.approx(seqeval.precision_score(gold, guess), abs=1e-12)
    assert score.recall == pytest.approx(seqeval.recall_score(gold, guess), abs=1e-12)


@pytest.mark.parametrize("letters", ["BI", "BIES", "BILU", "BMES"])
def test_ill_formed_tags_mean_what_they_do_to_seqeval(letters):
    from seqeval.metrics.sequence_labeling import get_entities

    rng = random.Random(letters)
    names = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "XY")]
    same = str.maketrans("LUM", "ESI")  # seqeval's default mode knows the letters of IOBES only
    for _ in range(3000):
        tags = [rng.choice(names) for _ in range(rng.randint(1, 8))]
        expected = {
            (kind, start, end + 1) for kind, start, end in get_entities([t[0].translate(same) + t[1:] for t in tags])
        }
        assert spans(tags) == expected, tags
        assert spans(to_iob2(tags)) == expected, tags


def test_kinds_are_scored_as_seqeval_does():
    gold = [["B-A", "I-A", "O", "B-B"], ["I-A", "B-B", "I-A"]]
    guess = [["B-A", "O", "O", "B-B"], ["B-A", "B-B", "B-C"]]
    report = seqeval.classification_report(gold, guess, output_dict=True, zero_division=0)
    scores = span_scores(gold, guess)
    for kind, name in (("A", "A"), ("B", "B"), ("C", "C"), ("all", "micro avg")):
        ours, theirs = scores[kind], report[name]
        assert (ours.precision, ours.recall, ours.f1, ours.support) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"])
        )
