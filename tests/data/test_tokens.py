"""Tokens and back, vocabularies with counts, sentence pairs, features with captions."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyseq.data.features import read_features, vector
from tinyseq.data.sentences import html_in, read_pairs
from tinyseq.data.tokens import beginning, build_vocabulary, find_level, scripts_without_spaces, uncut, vocabulary_of
from tinyseq.errors import DataError

WORDS = find_level("word")


def test_words():
    text = 'The well-known "cat" (3.14): isn\'t it?\nA <unk>, 5%.'
    cut = WORDS.cut(text)
    assert cut[:6] == ["The", "well-known", '"', "cat", '"', "("]
    assert cut[6:14] == ["3.14", ")", ":", "isn't", "it", "?", "\n", "A"]
    assert cut[14:] == ["<unk>", ",", "5", "%", "."]
    assert WORDS.join(cut) == text
    assert WORDS.join([]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "हिन्दी भारत की भाषा है ।",
        "தமிழ் மொழி",
        "বাংলা ভাষা",
        "العَرَبِيَّة لُغَة ، نعم",
        "می‌خواهم بروم",  # U+200C joins the parts of a Persian word
        "שָׁלוֹם צה\"ל ג'ירפה",
        "кто-нибудь съел а́лый",
        "한국어를 배워요",
        "cafe\u0301 nai\u0308ve",  # accents as marks of their own
        "l'été aujourd’hui 2ª Straße",
        "10,000 3.14 64-bit foo_bar <eos> </s>",
        "👩‍👩‍👧 🇩🇪 👍🏽",
        "so\xadft co‑op",
    ],
)
def test_words_of_every_script_that_separates_them_stay_whole(text):
    assert WORDS.cut(text) == text.split()
    assert WORDS.cut(WORDS.join(text.split())) == text.split()


# In the notation of Unicode's WordBreakTest.txt: code points, and the cuts between them. uniseg 0.10.1, which reads the
# tables of Unicode by itself, cuts all of them so.
@pytest.mark.parametrize(
    "line",
    [
        "÷ 0041 × 0308 ÷ 002C ÷",
        "÷ 0061 × 0027 × 0062 ÷",
        "÷ 0061 ÷ 002E ÷ 0031 ÷",
        "÷ 0031 × 002E × 0031 ÷",
        "÷ 05D0 × 0022 × 05D0 ÷",
        "÷ 0061 ÷ 0022 ÷ 0061 ÷",
        "÷ 0041 × 005F × 0030 × 005F × 3031 × 005F ÷",
        "÷ 1F1E6 × 1F1E7 ÷ 1F1E8 ÷",
        "÷ 0061 × 1F3FF ÷ 1F476 ÷",
        "÷ 1F6D1 × 200D × 1F6D1 ÷",
    ],
)
def test_words_end_where_unicode_says(line):
    wanted = ["".join(chr(int(code, 16)) for code in part.split("×")) for part in line.strip("÷ ").split("÷")]
    assert WORDS.cut("".join(wanted)) == wanted


def test_numbers_with_a_hyphen_between_are_no_word():
    assert WORDS.cut("1990-1995, covid-19, -a- 10-day") == (
        ["1990", "-", "1995", ",", "covid-19", ",", "-", "a", "-", "10-day"]
    )


SIGNS = "ab1é '’-.,:;()[]<>$#%\n\"“”_‘¿¡{}!?…।\u0301\u200d\u200b\xadאब्हि中か🇩🇪👍🏽"


@pytest.mark.parametrize("name", ["word", "tokens"])
@given(text=st.text(max_size=40) | st.text(alphabet=SIGNS, max_size=40))
def test_joined_tokens_are_cut_as_before(name, text):
    level = find_level(name)
    cut = level.cut(text)
    joined = level.join(cut)
    assert level.cut(joined) == cut
    assert all(joined.startswith(level.join(cut[:size])) for size in range(len(cut)))


@pytest.mark.parametrize("name", ["word", "tokens"])
@given(text=st.text(max_size=40) | st.text(alphabet="ab1!_-\u0301\u200b\u202f\u00a0\u2028\x1c", max_size=12))
def test_nothing_but_blanks_is_lost(name, text):
    wanted = "".join(text.split())
    found = "".join("".join(find_level(name).cut(text)).split())
    assert found == (wanted.replace("\u200b", "") if name == "word" else wanted)


def test_a_space_without_break_is_a_space():
    assert WORDS.cut("Cours\u202f! «\u00a0Va\u00a0» 1\u202f000") == ["Cours", "!", "«", "Va", "»", "1", "000"]


def test_signs_stand_where_they_stood():
    for text in ["¿Dónde estás?", "¡Alto!", 'Ella dijo "sí".', "(a) costs $5, 5% of [it]", 'an "x" and "y"\n"z"']:
        assert WORDS.join(WORDS.cut(text)) == text


def test_tokens_are_kept_as_they_are_given():
    cut, join = find_level("tokens").cut, find_level("tokens").join
    line = "mr. <unk> 's u.s. unit did n't pay $ N million @-@ class debt"
    assert cut(line) == line.split()
    # a line's end is a token, once: where <eos> is written, that is it
    assert cut(f" {line} \n\n{line}\n") == [*line.split(), "\n", "\n", *line.split(), "\n"]
    assert cut("a <eos> \nb <eos>\nc <eos> d") == ["a", "<eos>", "b", "<eos>", "c", "<eos>", "d"]
    assert join(cut("a <eos> \nb\n\nc")) == "a <eos>\nb\n\nc"


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        ("สวัสดีครับ", ["Thai"]),
        ("ສະບາຍດີ", ["Lao"]),
        ("សួស្តី", ["Khmer"]),
        ("မင်္ဂလာပါ", ["Myanmar"]),
        ("你好，世界。Hello", ["Chinese"]),
        ("私は学生です。", ["Japanese"]),
        ("カタカナ", ["Japanese"]),
        ("한국어를 배워요, 大韓民國", ["Chinese"]),
        ("한국어를 배워요", []),
        ("The Chinese word for good morning is 早安, they say, and there is more.", []),
        ("हिन्दी العربية кириллица", []),
        ("plain", []),
        ("123 ...", []),
    ],
)
def test_scripts_without_spaces_are_told(text, scripts):
    assert scripts_without_spaces(text) == scripts
    assert all(name in uncut(WORDS, text) for name in scripts)
    assert bool(uncut(WORDS, text)) == bool(scripts)
    assert uncut(find_level("char"), text) == uncut(find_level("tokens"), text) == ""


def test_a_beginning_is_of_whole_words():
    line = " ".join(["seventeen"] * 20)
    assert beginning(line, WORDS) == beginning(line, find_level("char")) == " ".join(["seventeen"] * 8)  # 79 characters
    assert beginning("x" * 90, find_level("char")) == "x" * 80
    assert beginning("x" * 90 + " y", WORDS) == "x" * 90
    assert beginning("好" * 90, WORDS).split() == ["好"] * 40  # with the spaces that stand between tokens
    assert beginning("a b", WORDS) == "a b"


@given(st.text(max_size=40))
def test_characters_lose_nothing(text):
    level = find_level("char")
    assert level.join(level.cut(text)) == text


def test_an_unknown_level_is_refused():
    with pytest.raises(DataError, match="did you mean 'word'"):
        find_level("words")


def test_rare_tokens_share_the_unknown_entry():
    texts = [["b", "a", "a"], ["a", "c", "c"]]
    assert build_vocabulary(texts).tokens == ("a", "b", "c")
    assert build_vocabulary(texts).unknown is None
    few = build_vocabulary(texts, min_count=2, specials=["<end>"])
    assert few.tokens == ("<end>", "a", "c")
    assert few.encode(["b", "c"]).tolist() == [few.unknown, 2]
    assert few.lookup([few.unknown, 1]) == ["<unk>", "a"]
    assert build_vocabulary(texts, max_size=1).tokens == ("a",)
    assert build_vocabulary([["b", "a"]], max_size=1).tokens == ("a",)  # of equals the first in the alphabet


def test_a_token_spelled_like_an_entry_of_no_text_is_refused():
    with pytest.raises(DataError, match="'<end>', which stands for something else"):
        build_vocabulary([["a", "<end>"]], specials=["<end>"])


def test_a_text_may_come_with_unk():
    found = build_vocabulary([["a", "<unk>"]])
    assert found.tokens == ("a",)
    assert found.encode(["<unk>"]).tolist() == [found.unknown]


def test_held_out_tokens_decide_about_the_unknown_entry():
    assert vocabulary_of([["a"]], ["a"]).unknown is None
    assert vocabulary_of([["a"]], ["a", "b"]).unknown == 1


def write(tmp_path, text, name="pairs.tsv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs(tmp_path):
    path = write(tmp_path, "ein Hund\ta dog\r\n\n eine Katze \t a cat \n")
    assert read_pairs(path) == [("ein Hund", "a dog"), ("eine Katze", "a cat")]
    path = write(tmp_path, "ein Hund\neine Katze\ta cat\nein Tier\t\n")
    assert read_pairs(path, targets=False) == [("ein Hund", None), ("eine Katze", "a cat"), ("ein Tier", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nein Hund  a dog\n", r"0 tabs in 'ein Hund  a dog'.*line 2.*must be a tab"),
        ("a\tb\n\na\tb\tc\n", r"2 tabs.*line 3"),
        ("a\tb\nc\t \n", r"without its target.*line 2"),
        ("\tb\n", r"without its source.*line 1"),
        ("", "empty"),
        ("a ||| b\n", r"0 tabs.*sed"),
        ("a b\nc d\n", r"0 tabs.*paste"),
        ("#separator:tab\n", r"without a pair"),
    ],
)
def test_malformed_pairs_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
        read_pairs(write(tmp_path, text))


TATOEBA = "Go.\tGeh.\tCC-BY 2.0 (France) Attribution: tatoeba.org #1 (A) & #2 (B)\n"


def test_whom_to_thank_is_no_sentence(tmp_path):
    path = write(tmp_path, TATOEBA + "Hi.\tHallo!\tCC-BY 2.0 (France) Attribution: tatoeba.org #3 (A) & #4 (C)\n")
    assert read_pairs(path) == [("Go.", "Geh."), ("Hi.", "Hallo!")]
    assert read_pairs(path, source=2) == [("Geh.", "Go."), ("Hallo!", "Hi.")]
    assert read_pairs(path, source=2, target=1, targets=False) == [("Geh.", "Go."), ("Hallo!", "Hi.")]
    assert read_pairs(write(tmp_path, "Geh.\nHallo!\n"), source=2, target=1, targets=False) == (
        [("Geh.", None), ("Hallo!", None)]
    )
    assert read_pairs(write(tmp_path, TATOEBA + "Hi.\tHallo!\n")) == [("Go.", "Geh."), ("Hi.", "Hallo!")]


def test_columns_by_number_and_by_name(tmp_path):
    rows = "1276\tLet's try.\t2481\tIntentemos.\n1277\tI must go.\t2482\tTengo que irme.\n"
    path = write(tmp_path, rows)
    wanted = [("Let's try.", "Intentemos."), ("I must go.", "Tengo que irme.")]
    assert read_pairs(path, source=2, target=4) == wanted
    with pytest.raises(DataError, match=re.compile(r"4 columns, 1: '1276'.*source: 2, target: 4", re.DOTALL)):
        read_pairs(path)
    with pytest.raises(DataError, match="source: 2, target: 4"):
        read_pairs(write(tmp_path, "1\ta\tfra\tb\n2\tc\tfra\td\n"))
    named = write(tmp_path, f"id\ten\tto\tes\n{rows}")
    assert read_pairs(named, source="en", target="es") == wanted
    assert read_pairs(named, source="es", target="en") == [(b, a) for a, b in wanted]
    with pytest.raises(DataError, match=r"no column 'sp'[\s\S]*'es'"):
        read_pairs(named, source="en", target="sp")
    with pytest.raises(DataError, match="one column"):
        read_pairs(named, source="en", target=2)
    alone = write(tmp_path, "Let's try.\nI must go.\n")
    assert read_pairs(alone, source="en", target="es", targets=False) == [("Let's try.", None), ("I must go.", None)]


def test_pairs_of_csv_have_their_columns_named(tmp_path):
    path = write(
        tmp_path, 'English words,French words\n"Hi, you.","Salut, ""toi""."\n"Two\nlines","En deux"\n', "p.csv"
    )
    assert read_pairs(path, source="English words", target="French words") == (
        [("Hi, you.", 'Salut, "toi".'), ("Two lines", "En deux")]
    )
    with pytest.raises(DataError, match=r'source: "English words", target: "French words"}, or .*source: 1'):
        read_pairs(path)
    semicolons = write(tmp_path, "en;fr\nHi, you.;Salut, toi.\n", "p.csv")
    assert read_pairs(semicolons, source="fr", target="en") == [("Salut, toi.", "Hi, you.")]
    with pytest.raises(DataError, match=r"1 separators in 'a,b'[\s\S]*line 4"):
        read_pairs(write(tmp_path, 'x,y,z\n"1\n",2,3\na,b\n', "p.csv"), source="x", target="z")


def test_what_anki_says_at_the_top_is_heard(tmp_path):
    head = "#separator:tab\n#html:true\n#tags column:3\n"
    path = write(tmp_path, f'{head}"a <b>big</b> dog"\tun&nbsp;chien<br>[sound:x.mp3]\tanimals\n"say ""a"""\tb\t\n')
    assert read_pairs(path) == [("a big dog", "un chien"), ('say "a"', "b")]
    assert read_pairs(path, html=False)[0] == ("a <b>big</b> dog", "un&nbsp;chien<br>[sound:x.mp3]")
    named = write(tmp_path, "#separator:;\n#columns:id;Front;Back\n1;a;b\n")
    assert read_pairs(named, source="Back", target="Front") == [("b", "a")]
    plain = write(tmp_path, '"Hi," he said.\t<b>Hei</b> &amp;\n#1 fan\tx\n')
    assert read_pairs(plain) == [('"Hi," he said.', "<b>Hei</b> &amp;"), ("#1 fan", "x")]
    assert read_pairs(plain, html=True)[0] == ('"Hi," he said.', "Hei &")
    assert html_in([side for pair in read_pairs(plain) for side in pair]) == 1


def test_features_in_lines_and_in_a_table(tmp_path):
    lines = [{"features": [[1, 2], [3, 4]], "caption": "a dog", "name": "one"}, {"features": [[0, 0], [0, 1]]}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)), "f.jsonl")
    first, second = read_features(path, caption="caption", targets=False)
    assert (first.input.name, first.target) == ("one", "a dog")
    np.testing.assert_array_equal(first.input.values, [[1, 2], [3, 4]])
    assert (second.input.name, second.target) == ("line 2", None)
    path = write(tmp_path, "x,y,says\n1,2,a dog\n3,4.5,a cat\n", "f.csv")
    first, second = read_features(path, caption="says")
    assert second.input.values.tolist() == [3.0, 4.5]
    assert (first.target, second.input.name) == ("a dog", "line 3")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "f.jsonl",
            '{"features": [1], "caption": "a"}\n{"features": [1, 2], "caption": "b"}',
            r"different sizes.*line 2",
        ),
        ("f.jsonl", '{"features": [1], "caption": "a"}\nno json', r"not JSON.*line 2"),
        ("f.jsonl", '{"caption": "a"}', r"without features.*line 1"),
        ("f.jsonl", '{"features": [1]}', r"without its caption.*line 1"),
        ("f.jsonl", '{"features": [1, "x"], "caption": "a"}', r"not a vector.*line 1"),
        ("f.jsonl", '{"features": [[1], [1, 2]], "caption": "a"}', r"not a vector.*line 1"),
        ("f.csv", "x,caption\n1,a\nq,b\n", r"not a number.*line 3"),
        ("f.csv", "x,caption\n1,a\n2\n", r"ragged.*line 3"),
        ("f.csv", "caption\na\n", r"no column of features"),
    ],
)
def test_malformed_features_are_named(tmp_path, name, text, message):
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
        read_features(write(tmp_path, text, name), caption="caption")


@pytest.mark.parametrize("values", [[], 3.0, [float("nan")], None, ["a"]])
def test_what_is_no_vector_is_refused(values):
    with pytest.raises(DataError, match="not a vector"):
        vector(values, "input 0")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tsv", "en\tfr\nHi\tSalut\n", r'source: "en", target: "fr"[\s\S]*source: 1, target: 2'),
        ("a.tsv", '"Hi, x"\t"Salut, x"\n"No"\t"Non"\n', r"quotes around all sentences[\s\S]*mv a\.tsv a\.csv"),
        (
            "a.tsv",
            "http://x/1\thttp://y\tHi\tSalut\t.5\nhttp://x/2\thttp://z\tNo\tNon\t.7\n",
            "source: 3, target: 4",
        ),
        ("a.csv", ",English,French\n0,Hi,Salut\n1,No,Non\n", "source: 2, target: 3"),
        ("a.tmx", '<?xml version="1.0"?>\n<tmx version="1.4"><body>\n', "HTML or XML"),
        ("a.jsonl", '{"translation": {"en": "Hi", "fr": "Salut"}}\n', "JSON lines"),
    ],
)
def test_forms_of_pairs_that_are_asked(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_pairs(path)


def test_answers_about_pairs_are_kept_to(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("en\tfr\nHi\tSalut\n", encoding="utf-8")
    assert read_pairs(path, source="en", target="fr") == [("Hi", "Salut")]
    assert read_pairs(path, source=1, target=2) == [("en", "fr"), ("Hi", "Salut")]
    path.write_text('"Hi"\t"Salut"\n"No"\t"Non"\n', encoding="utf-8")
    assert read_pairs(path, source=1, target=2)[1] == ('"No"', '"Non"')
    assert read_pairs(path.rename(tmp_path / "a.csv"), source=1, target=2)[1] == ("No", "Non")
