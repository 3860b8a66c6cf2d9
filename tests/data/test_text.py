"""Corpora, vocabularies, batches and baselines."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from tinyseq import data
from tinyseq.data.batching import IGNORED
from tinyseq.errors import DataError


def test_default_corpus_is_python_documentation_each_paragraph_once():
    corpus = data.load_text()
    assert corpus.name == "pydoc-topics"
    assert corpus.sha256 == hashlib.sha256(corpus.text.encode()).hexdigest() == data.load_text().sha256
    assert len(corpus) > 300_000
    long = [p.strip() for p in corpus.text.split("\n\n") if len(p.strip()) >= 40]
    assert Counter(long).most_common(1)[0][1] == 1


def test_file_is_read_without_mark_and_with_plain_line_ends(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9e\n")
    corpus = data.load_text(path)
    assert corpus.text == "one\ntwo\nthrée\n"
    assert corpus.name == str(path)


def test_missing_directory_and_empty_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"does not exist[\s\S]*nothing\.txt[\s\S]*try"):
        data.load_text(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match="is a directory"):
        data.load_text(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"is empty[\s\S]*2 bytes"):
        data.load_text(tmp_path / "empty.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo") or os.geteuid() == 0, reason="root reads everything")
def test_file_without_permission(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        data.load_text(path)


@pytest.mark.parametrize(("mark", "offset"), [(b"", 9), (b"\xef\xbb\xbf", 12)])
def test_bytes_that_are_not_utf8_are_located(tmp_path, mark, offset):
    path = tmp_path / "latin.txt"
    path.write_bytes(mark + b"one\ntwo caf\xe9\n"[0:7] + b"ca\xe9 au lait")
    with pytest.raises(DataError) as caught:
        data.load_text(path)
    assert caught.value.where == f"{path}, line 2, byte offset {offset}"
    assert "0xe9" in caught.value.got
    assert "iconv" in caught.value.fix


def test_vocabulary_round_trip_and_json_state():
    vocabulary = data.Vocabulary.build("hello world")
    ids = vocabulary.encode("hold")
    assert ids.dtype == np.int64
    assert vocabulary.decode(ids) == "hold"
    again = data.Vocabulary.from_state(json.loads(json.dumps(vocabulary.state())))
    assert again.tokens == vocabulary.tokens == tuple(" dehlorw")
    assert len(again) == 8


def test_unseen_tokens_are_an_error_or_the_unknown_entry():
    with pytest.raises(DataError, match=r"'q', 'z', first at position 1"):
        data.Vocabulary.build("abc").encode("azqz")
    vocabulary = data.Vocabulary.build("abc", unknown=True)
    assert len(vocabulary) == 4
    assert vocabulary.encode("azb").tolist() == [0, 3, 1]
    assert vocabulary.decode([0, 3, 1]) == "a\N{REPLACEMENT CHARACTER}b"
    assert data.Vocabulary.from_state(vocabulary.state()).unknown == 3
    with pytest.raises(DataError, match="not the state"):
        data.Vocabulary.from_state({"tokens": [1]})


def test_split_is_contiguous_and_complete():
    parts = data.split("abcdefghij", [0.6, 0.2, 0.2])
    assert (parts.train, parts.valid, parts.test) == ("abcdef", "gh", "ij")


def test_training_windows_carry_on_and_start_anew():
    ids = np.arange(23)
    windows = list(islice(data.training_windows(ids, 2, 4), 5))
    first, second, third = windows[:3]
    assert first.inputs.tolist() == [[0, 1, 2, 3], [11, 12, 13, 14]]
    assert first.targets.tolist() == [[1, 2, 3, 4], [12, 13, 14, 15]]
    assert second.inputs[:, 0].tolist() == [4, 15]
    assert (first.fresh, second.fresh, third.fresh) == (True, False, True)  # two windows of 4 fit rows of 11
    assert third.inputs.tolist() == first.inputs.tolist()
    assert (first.counted, first.carry, first.tokens) == (0, 4, 8)


def test_windows_that_reach_back_overlap_and_count_each_target_once():
    ids = np.arange(41)
    every, back = 4, 10
    counted, at = [], 0
    for window in islice(data.training_windows(ids, 1, every, back), 10):
        assert window.inputs[0, 0] == at, "a window starts where the last one left the state"
        assert window.inputs.shape[1] == min(back, window.inputs[0, -1] + 1)
        at += window.carry
        counted += window.targets[0, window.counted :].tolist()
    assert counted == list(range(1, 41))


def test_text_too_short_for_the_batches_says_what_it_takes():
    with pytest.raises(DataError, match=r"at least 81 tokens[\s\S]*80 tokens[\s\S]*batch_size"):
        data.training_windows(np.arange(80), 10, 8)
    data.training_windows(np.arange(81), 10, 8)


@pytest.mark.parametrize("count", [2, 7, 50, 101])
@pytest.mark.parametrize("rows", [1, 4])
def test_held_out_windows_visit_every_target_once(count, rows):
    ids = np.arange(count)
    seen = []
    for window in data.held_out_windows(ids, rows, 5):
        counts = window.targets != IGNORED
        assert (window.targets[counts] == window.inputs[counts] + 1).all()
        seen += window.targets[counts].tolist()
    assert sorted(seen) == list(range(1, count))


def test_ngram_bits_by_hand():
    train, test = np.array([0, 1, 0, 1, 0, 0]), np.array([0, 1, 1])
    alpha, (unigram,) = data.ngram_bits(1, train, test, [test], 2, alphas=[1.0])
    # the first token is no target: counts of 0 and 1 are 3 and 2; with alpha 1, p(1) = 3/7
    assert alpha == 1.0
    assert unigram == pytest.approx(-np.log2(3 / 7))
    _, (bigram,) = data.ngram_bits(2, train, test, [test], 2, alphas=[1.0])
    # after 0 came 1, 1, 0; after 1 came 0, 0
    assert bigram == pytest.approx(-(np.log2(3 / 5) + np.log2(1 / 4)) / 2)


def test_alpha_is_the_one_that_is_best_on_validation():
    rng = np.random.default_rng(0)
    train, valid = rng.integers(0, 30, 200), rng.integers(0, 30, 200)
    alpha, (chosen,) = data.ngram_bits(2, train, valid, [valid], 30)
    assert alpha == 3.0  # noise: the flattest model is the best
    assert all(chosen <= data.ngram_bits(2, train, valid, [valid], 30, [other])[1][0] for other in (0.1, 1.0))


@pytest.mark.parametrize("order", [1, 2])
def test_ngrams_are_counted_part_by_part(monkeypatch, order):
    rng = np.random.default_rng(0)
    train, valid, test = (rng.integers(0, 9, size).astype(np.uint8) for size in (200, 50, 60))
    wanted = data.ngram_bits(order, train.astype(np.int64), valid.astype(np.int64), [test.astype(np.int64)], 9)
    counts = Counter(zip(train[:-1].tolist(), train[1:].tolist(), strict=True))
    contexts, tokens = Counter(train[:-1].tolist()), Counter(train[1:].tolist())
    alpha, bits = wanted[0], []
    for before, token in zip(test[:-1].tolist(), test[1:].tolist(), strict=True):
        count, total = (counts[before, token], contexts[before]) if order == 2 else (tokens[token], len(train) - 1)
        bits.append(-np.log2((count + alpha) / (total + alpha * 9)))
    assert wanted[1] == [pytest.approx(np.mean(bits))]
    for part, table in ((7, 1 << 20), (7, 0), (1 << 22, 0)):
        monkeypatch.setattr("tinyseq.data.baselines._PART", part)
        monkeypatch.setattr("tinyseq.data.baselines._TABLE", table)
        found = data.ngram_bits(order, train, valid, [test], 9)
        assert (found[0], found[1]) == (alpha, [pytest.approx(wanted[1][0], rel=1e-12)])
