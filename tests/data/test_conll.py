"""CoNLL files, and the entities that tags mean."""

from __future__ import annotations

import pytest

from tinyseq.data.conll import Tagged, most_frequent_tags, read_conll, read_tagged
from tinyseq.data.measures import Span, confusion_matrix, errors, macro_f1, span_scores, spans
from tinyseq.data.tagging import entity_sentences, to_conll
from tinyseq.errors import DataError

TEXT = "-DOCSTART- -X- O\n\nAda NNP B-PER\nAdams NNP I-PER\nleft VBD O\n\n\nRome NNP B-LOC\n"


def test_sentences_are_read(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(TEXT, encoding="utf-8")
    assert read_conll(path) == [
        Tagged(("Ada", "Adams", "left"), ("B-PER", "I-PER", "O")),
        Tagged(("Rome",), ("B-LOC",)),
    ]
    path.write_text("Ada\nleft\n")
    assert read_conll(path, targets=False) == [Tagged(("Ada", "left"))]


def test_what_the_generator_writes_is_read_back(tmp_path):
    made = entity_sentences(20, 0)
    path = tmp_path / "a.conll"
    path.write_text(to_conll(made), encoding="utf-8")
    assert [list(zip(*sentence, strict=True)) for sentence in read_conll(path)] == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada B-PER\nAdams\n", r"a word without its tag[\s\S]*'Adams'[\s\S]*line 2"),
        ("Ada B-PER\nAdams X I-PER\n", r"another number of columns[\s\S]*2, as in[\s\S]*3: [\s\S]*line 2"),
        ("Ada\tB-PER\n\tO\n", r"without its word[\s\S]*line 2"),
        ("Ada\tO\nAdams\t\n", r"without its tag[\s\S]*line 2"),
        ("-DOCSTART- O\n", "without sentences"),
        ("Ada O\n# a b c\nleft O\n", r"another number of columns[\s\S]*'# a b c'[\s\S]*line 2"),
        ("Ada,O\nAdams,B-PER\n", r"separated by commas[\s\S]*line 1"),
        ("Ada B-PER\nleft O\nAdams PER\n", r"as most are[\s\S]*'PER'[\s\S]*line 3[\s\S]*scheme: none"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, words):
    path = tmp_path / "a.conll"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_conll(path)


@pytest.mark.parametrize(
    ("scheme", "text", "words"),
    [
        ("iob2", "Ada PER\n", r"not a tag of named entities[\s\S]*'PER'[\s\S]*line 1[\s\S]*scheme: none"),
        ("iob2", "Ada O\nAdams I-PER\n", r"does not begin[\s\S]*B-PER[\s\S]*I-PER after O[\s\S]*line 2[\s\S]*iob1"),
        ("iob2", "Ada B-LOC\nAdams I-PER\n", "does not begin"),
        ("iob2", "Ada B-PER\n\nAdams I-PER\n", r"does not begin[\s\S]*line 3"),
        ("iobes", "Ada B-PER\nleft O\n", r"does not end[\s\S]*O after B-PER[\s\S]*line 2"),
        ("bioes", "Ada B-PER\n", r"does not end[\s\S]*the end of the sentence[\s\S]*line 1"),
        ("iobes", "Ada U-PER\n", r"not a tag of the scheme iobes[\s\S]*S-KIND[\s\S]*'U-PER'"),
        ("bilou", "Ada I-PER\n", "does not begin"),
    ],
)
def test_a_scheme_that_is_asked_for_is_held(tmp_path, scheme, text, words):
    path = tmp_path / "a.conll"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_conll(path, scheme=scheme)


def test_iob1_becomes_iob2_and_other_tags_stay(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a I-PER\nb I-PER\nc B-PER\nd I-LOC\ne O\nf I-LOC\n")
    (sentence,) = read_conll(path, scheme="iob1")
    assert sentence.tags == ("B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-LOC")
    path.write_text("a DET\nb NOUN\n")
    assert read_conll(path, scheme="none")[0].tags == ("DET", "NOUN")


def read(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tagged(path, **options)


#: Ada Adams (PER), left, Rome (LOC), Ada (PER): the same entities in each scheme, and the scheme's name.
SCHEMES = {
    "B-PER I-PER O B-LOC B-PER": "iob2",
    "I-PER I-PER O I-LOC I-PER": "iob1",
    "B-PER E-PER O S-LOC S-PER": "iobes",
    "B-PER L-PER O U-LOC U-PER": "bilou",
    "B_PER I_PER O B_LOC B_PER": "iob2",
    "PER-B PER-I O LOC-B PER-B": "iob2",
    "B-PER I-PER _ B-LOC B-PER": "iob2",
}


@pytest.mark.parametrize("tags", SCHEMES)
def test_every_scheme_means_the_same_entities(tmp_path, tags):
    words = ["Ada", "Adams", "left", "Rome", "Ada"]
    text = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags.split(), strict=True))
    found = read(tmp_path / "a.tsv", text)
    assert found.sentences == [Tagged(tuple(words), ("B-PER", "I-PER", "O", "B-LOC", "B-PER"))]
    assert (found.form.scheme, found.form.broken) == (SCHEMES[tags], 0)


def test_entities_of_one_kind_need_no_name(tmp_path):
    (words,) = read(tmp_path / "a.txt", "中 B\n国 M\n人 E\n我 S\n").sentences
    assert spans(words.tags) == {Span("_", 0, 3), Span("_", 3, 4)}
    (words,) = read(tmp_path / "a.txt", "a B\nb I\nc O\n").sentences
    assert words.tags == ("B-_", "I-_", "O")


def test_ill_formed_tags_are_read_as_conlleval_does_and_told(tmp_path):
    text = "a O\nb I-PER\n\nc B-PER\nd I-PER\ne B-LOC\n\nf B-LOC\n"
    found = read(tmp_path / "a.txt", text)
    assert found.sentences[0].tags == ("O", "B-PER")
    assert found.form.described()["scheme"] == "iob2, 1 ill-formed, as conlleval reads"


CONLLU = """# newdoc
# text = Vámonos 50 000
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\tSpaceAfter=No
2.1\tva\tir\tVERB\tV\t_\t_\t_\t_\t_
3\t50 000\t50 000\tNUM\tN\t_\t1\tnummod\t_\t_

# newdoc
# text = #
1\t#\t#\tSYM\tS\t_\t0\troot\t_\t_
"""


def test_a_treebank_is_read_by_its_words(tmp_path):
    path = tmp_path / "a.txt"
    for text in (CONLLU, "\ufeff" + CONLLU.replace("\n", "\r\n"), CONLLU.replace("\n\n", "\n \t\n")):
        found = read(path, text)
        assert [s.words for s in found.sentences] == [("Vamos", "nos", "50 000"), ("#",)]
        assert [s.tags for s in found.sentences] == [("VERB", "PRON", "NUM"), ("SYM",)]
        assert found.documents == [1, 2]
    assert read(path, CONLLU, tag="XPOS").sentences[0].tags == ("V", "P", "N")
    assert read(path, CONLLU, tag=6).sentences[0].tags == ("Mood=Imp", "_", "_"), "no features is an answer too"
    assert read(path, CONLLU, word="lemma").sentences[0].words == ("ir", "nosotros", "50 000")
    with pytest.raises(DataError, match=r"no column 'XPSO' for data.tag[\s\S]*4 UPOS[\s\S]*did you mean 'XPOS'"):
        read(path, CONLLU, tag="XPSO")


def test_tags_that_a_treebank_leaves_open(tmp_path):
    path = tmp_path / "a.conllu"
    some = CONLLU.replace("PRON", "_")
    assert read(path, some).sentences[0].tags == ("VERB", "", "NUM")
    none = some.replace("VERB", "_").replace("NUM", "_").replace("SYM", "_")
    with pytest.raises(DataError, match=r"nothing in UPOS but _[\s\S]*2 Vamos[\s\S]*tag: 'XPOS'"):
        read(path, none)
    assert read(path, none, targets=False).sentences[1] == Tagged(("#",))
    bare = "1\t_\t_\tNOUN\t_\t_\t_\t_\t_\t_\n"
    with pytest.raises(DataError, match="words are left out"):
        read(path, bare)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CONLLU.replace("\n\n", "\n"), r"not the next ID[\s\S]*4, or[\s\S]*'1'[\s\S]*an empty line"),
        ("1\tAda\tAda\tPROPN\n", r"another number of columns[\s\S]*10: ID FORM[\s\S]*4: [\s\S]*format: columns"),
    ],
)
def test_a_malformed_treebank_is_told(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.conllu", text)


def test_columns_of_conllu_plus_are_named_in_the_file(tmp_path):
    path = tmp_path / "a.conllup"
    text = "# global.columns = ID FORM UPOS NER\n1\tAda\tPROPN\tS-PER\n2\tleft\tVERB\t_\n"
    assert read(path, text, tag="NER").sentences == [Tagged(("Ada", "left"), ("B-PER", "O"))]
    with pytest.raises(
        DataError, match=r"beside the usual ten[\s\S]*4 S-PER[\s\S]*tag: 'NER'\}, or data: \{tag: 'UPOS'"
    ):
        read(path, text)
    assert read(path, text.replace(" NER", "").replace("\tS-PER", "").replace("VERB\t_", "VERB")).form.tag == 2


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        # CoNLL-2003, IOB1 as it was published; CoNLL-2002, Spanish and Dutch; CoNLL-2000.
        (
            "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\nEkeus NNP I-NP I-PER\n",
            [(("U.N.", "official", "Ekeus"), ("B-ORG", "O", "B-PER"))],
        ),
        ("Melbourne B-LOC\n( O\nAustralia B-LOC\n) O\n", [(("Melbourne", "(", "Australia", ")"), ("B-LOC", "O") * 2)]),
        ("-DOCSTART- -DOCSTART- O\nDe Art O\nGent N B-LOC\n", [(("De", "Gent"), ("O", "B-LOC"))]),
        ("Confidence NN B-NP\nin IN B-PP\n", [(("Confidence", "in"), ("B-NP", "B-PP"))]),
        # WNUT-17: tabs, words that begin with #, lines of a tab between sentences.
        (
            "#\tO\n#NBA\tO\nParis\tB-location\n\t\nHello\tO\n#\tB-person\n",
            [(("#", "#NBA", "Paris"), ("O", "O", "B-location")), (("Hello", "#"), ("O", "B-person"))],
        ),
        # Comments, and words that are no comments, with blanks between columns.
        (
            "# sent_id = 1\n# O\nParis B-LOC\n\n# a b c d\n#NBA O\n# O\n",
            [(("#", "Paris"), ("O", "B-LOC")), (("#NBA", "#"), ("O", "O"))],
        ),
        ("# c\nParis B-LOC\n\n# d\n5 O\n", [(("Paris",), ("B-LOC",)), (("5",), ("O",))]),
        ("# #\n5 CD\n\nAda NNP\n", [(("#", "5"), ("#", "CD")), (("Ada",), ("NNP",))]),
        # Blanks in words, where tabs separate; a no-break space separates nothing.
        ("environ\tADV\n50 000\tNUM\n", [(("environ", "50 000"), ("ADV", "NUM"))]),
        ("50\u00a0000 NUM\nvoix NOUN\n", [(("50\u00a0000", "voix"), ("NUM", "NOUN"))]),
        ("Ada\t\tB-PER\nAdams-Smith\tI-PER\n", [(("Ada", "Adams-Smith"), ("B-PER", "I-PER"))]),
        ("Ada\t\tB-PER\nleft\tVBD\tO\n", [(("Ada", "left"), ("B-PER", "O"))]),
        ("#\tsign\nAda\tname\n", [(("#", "Ada"), ("sign", "name"))]),
        # The tag first (MIT Movie Corpus).
        ("O\twhat\nB-ACTOR\ttom\nI-ACTOR\thanks\n", [(("what", "tom", "hanks"), ("O", "B-ACTOR", "I-ACTOR"))]),
        ("DET The\nNOUN dog\n", [(("The", "dog"), ("DET", "NOUN"))]),
        # A first line with names.
        ("token\tlabel\nAda\tB-PER\n", [(("Ada",), ("B-PER",))]),
    ],
)  # fmt: skip
def test_forms_are_told_apart(tmp_path, text, sentences):
    assert read(tmp_path / "a.txt", text).sentences == [Tagged(*one) for one in sentences]
    assert read(tmp_path / "a.txt", text.replace("\n", "\r\n") + "\r\n \r\n").sentences == [
        Tagged(*s) for s in sentences
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "The DT the\ndog NN dog\n",
            r"column 2 looks like parts of speech[\s\S]*1 The \| 2 DT \| 3 the[\s\S]*word: 1, tag: 2",
        ),
        ("1\tThe\tDET\n2\tdog\tNOUN\n", r"counts the words[\s\S]*try +data: \{word: 2, tag: 3\}$"),
        ("1\tThe\n2\tdog\n", "counts the words"),
        ("Ada B-PER B-PER\nleft O B-PER\n", r"columns 2 and 3 have tags of the same entities[\s\S]*tag: 2\}, or"),
        ("Ada B-NP O\n", "O throughout"),
        ("Ada B-PER NNP\nleft O VBD\n", "column 2 looks like entities"),
        ("a b c\nd e f\n", "none looks like tags"),
        ("".join(f"{i % 5} w{i}\n" for i in range(20)), "the first column has 5 values, the second 20"),
        ("# x\nAda y\n", r"a comment or a word[\s\S]*line 1[\s\S]*comments: true"),
    ],
)
def test_what_is_uncertain_is_asked(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.txt", text)


def test_what_is_asked_for_is_done(tmp_path):
    path = tmp_path / "a.txt"
    assert read(path, "The DT the\ndog NN dog\n", tag=2).sentences == [Tagged(("The", "dog"), ("DT", "NN"))]
    assert read(path, "1 The DET\n2 dog NOUN\n", word="2", tag="3").sentences[0].words == ("The", "dog")
    named = "id\tw\tt\n7\tAda\tx\n"
    assert read(path, named, word="w", tag="t").sentences == [Tagged(("Ada",), ("x",))]
    with pytest.raises(DataError, match=r"no column 4 for data\.tag"):
        read(path, "a b\n", tag=4)
    assert read(path, "Ada\t\tB-PER\nleft\t\tO\n", tag=3).form.tag == 2
    assert read(path, "Ada\tB-PER\t\nleft\tO\t\n").form.columns == ("1", "2")
    assert read(path, "# x\nAda y\n", comments=False).sentences == [Tagged(("#", "Ada"), ("x", "y"))]
    assert read(path, "# x\nAda y\n", comments=True).sentences == [Tagged(("Ada",), ("y",))]
    assert read(path, CONLLU, format="columns", word=2, tag=5, comments=True).sentences[0].words[0] == "Vámonos"


def test_another_file_is_read_as_the_first_one_was(tmp_path):
    path = tmp_path / "a.txt"
    form = read(path, "The DT the\ndog NN dog\n", tag=2).form
    assert read(path, "A DT a\n", like=form).sentences == [Tagged(("A",), ("DT",))]
    assert read(path, "A a\n", like=form, targets=False).sentences == [Tagged(("A",))], "which column is no tag's"
    assert read(path, "#\n#NBA\n\n# a comment\nA\n", targets=False).sentences == [Tagged(("#", "#NBA")), Tagged(("A",))]
    named = read(path, "id\tw\tt\n7\tAda\tx\n", word="w", tag="t").form
    for text in ("8\tRome\ty\n", "t\tid\tw\ny\t8\tRome\n"):
        assert read(path, text, word="w", tag="t", like=named).sentences == [Tagged(("Rome",), ("y",))]
    assert read(path, "w\tid\nRome\t8\n", word="w", tag="t", like=named, targets=False).sentences == [Tagged(("Rome",))]
    assert read(path, "A\n", like=form, tag=2, targets=False).sentences == [Tagged(("A",))]


def test_spans_by_hand():
    assert spans(["B-A", "I-A", "I-B", "O", "I-A", "B-A", "B-A"]) == {
        Span("A", 0, 2), Span("B", 2, 3), Span("A", 4, 5), Span("A", 5, 6), Span("A", 6, 7),
    }  # fmt: skip
    assert spans(["S-A", "I-A", "E-A", "E-A", "M-A", "X", "DET"]) == {
        Span("A", 0, 1), Span("A", 1, 3), Span("A", 3, 4), Span("A", 4, 5),
    }  # fmt: skip
    assert spans([]) == set()


def test_span_scores_by_hand():
    gold = [["B-A", "I-A", "O", "B-B"], ["B-A"]]
    found = [["B-A", "O", "O", "B-B"], ["B-A"]]
    scores = span_scores(gold, found)
    assert (scores["all"].precision, scores["all"].recall, scores["all"].support) == (2 / 3, 2 / 3, 3)
    assert scores["A"].f1 == 0.5
    assert scores["B"].f1 == 1.0
    assert span_scores([["O"]], [["O"]])["all"].f1 == 0.0, "nothing to find is no success"


def test_confusion_and_errors_by_hand():
    matrix = confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 4 / 5) / 2), "a class that never occurs does not count"
    import numpy as np

    assert errors(np.array([0.0, 2.0]), np.array([1.0, 1.0])) == {"rmse": 1.0, "mae": 1.0, "r2": 0.0}


def test_most_frequent_tags():
    best, other = most_frequent_tags([Tagged(("a", "b"), ("X", "O")), Tagged(("a", "a", "c"), ("Y", "Y", "O"))])
    assert (best, other) == ({"a": "Y", "b": "O", "c": "O"}, "O")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Sentence #,Word,POS,Tag\nSentence: 1,London,NNP,B-geo\n,.,.,O\n",
            "separated by commas",
        ),  # Kaggle's ner_dataset
        ("( (S (NP-SBJ (NNP Pierre)) (VP (MD will))))\n" * 3, "trees of the Penn Treebank"),
        ("The/DT cat/NN sat/VBD ./.\n" * 3, r"word/TAG[\s\S]*sed "),
        ('{"tokens": ["EU"], "ner_tags": [3]}\n' * 3, "JSON lines"),
    ],
)
def test_tagged_words_in_other_forms_are_told(tmp_path, text, words):
    path = tmp_path / "tagged.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_conll(path)
