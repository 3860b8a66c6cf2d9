"""Configs: what is accepted, and errors with exact positions."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinyseq as ts
from tinyseq import backends, nn
from tinyseq.errors import ConfigError
from tinyseq.train.config import registry, yaml
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.config.schedules import make_schedule
from tinyseq.train.config.section import Section

EXAMPLES = Path(__file__).parents[2] / "examples"


def problems(tmp_path, text: str) -> list[str]:
    """Return the error lines of a config, without the file's name."""
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        ts.load_config(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines() if line.startswith(str(path))]


def test_defaults_are_filled_in_and_1e_3_is_a_number(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\ntrain: {optimizer: {lr: 1e-3}, clip_norm: null}\nmodel: {dropout: 0}\n")
    config = ts.load_config(path)
    assert config.train.optimizer.lr == 0.001
    assert config.train.clip_norm is None
    assert config.train.bptt.depth == 64
    assert (config.backend, config.dtype, config.seed, config.model.cell) == ("auto", "float32", 0, "lstm")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sead: 0", "2:1: error: sead: unknown key; did you mean 'seed'?"),
        ("backend: nump", "2:10: error: backend: unknown backend 'nump'; did you mean 'numpy'? (known: {backends})"),
        ("seed: yes", "2:7: error: seed: required a whole number, got text ('yes')"),
        ("seed: true", "2:7: error: seed: required a whole number, got true or false (True)"),
        ("seed: -1", "2:7: error: seed: required at least 0, got -1"),
        ("seed:", "2:1: error: seed: required a whole number, got nothing"),
        ("train: {steps: 1e3}", "2:16: error: train.steps: required a whole number, got a number (1000.0)"),
        ("train: 3", "2:8: error: train: required a section of keys and values, got a whole number (3)"),
        ("train: {clip_norm: .inf}", "2:20: error: train.clip_norm: required a finite number, got a number (inf)"),
        ("train: {optimizer: {lr: 0}}", "2:25: error: train.optimizer.lr: required over 0.0, got 0"),
        ("train:\n  bptt: {every: 8, back: 4}",
         "3:26: error: train.bptt.back: required at least `every` (8), got 4: each step needs its gradient"),
        ("train: {schedule: {name: steps}}",
         "2:26: error: train.schedule.name: unknown schedule 'steps'; did you mean 'step'? "
         "(known: constant, cosine, linear, plateau, step)"),
        ("train: {schedule: {name: step, options: {evry: 3}}}",
         "2:42: error: train.schedule.options.evry: unknown option of the schedule 'step'; did you mean 'every'?"),
        ("train: {optimizer: {weight_decay: 0.1, options: {weight_decay: 0.1}}}",
         "2:49: error: train.optimizer.options: weight_decay is given twice: as a setting and among the options"),
        ("train: {optimizer: {name: adma}}",
         "2:27: error: train.optimizer.name: unknown optimizer 'adma'; did you mean 'adam'? "
         "(known: adam, adamw, momentum, nesterov, rmsprop, sgd)"),
        ("train: {optimizer: {name: adam, options: {beta: 1}}}",
         "2:43: error: train.optimizer.options.beta: unknown option of Adam; did you mean 'betas'?"),
        ("data: {lvl: char}", "2:8: error: data.lvl: unknown key; did you mean 'level'?"),
        ("data: {split: [0.9, 0.1]}", "2:15: error: data.split: required 3 entries, got 2"),
        ("data:\n  split:\n  - 0.9\n  - x\n  - 0.1", "5:5: error: data.split[1]: required a number, got text ('x')"),
        ("data: {split: [0.5, 0.1, 0.1]}",
         "2:15: error: data.split: required three shares over 0 that sum to 1, got [0.5, 0.1, 0.1] (sum 0.7)"),
        ("model: {options: {forget: 1}}",
         "2:19: error: model.options.forget: unknown option of LSTMCell; did you mean 'forget_bias'?"),
        ("model: {cell: nothere.py:Cell}", None),
        ("model: {cell: no_such_module_x:Cell}", None),
        ("name: a/b", None),
        ("output: ''", None),
    ],
)  # fmt: skip
def test_one_problem_at_its_exact_place(tmp_path, text, expected):
    found = problems(tmp_path, f"task: language_model\n{text}\n")
    assert len(found) == 1
    if expected:
        expected = expected.replace("{backends}", ", ".join(sorted(backends.names())))
    assert found[0].startswith("2:") if expected is None else found == [expected]


def test_all_problems_at_once_in_the_order_of_the_file_with_carets(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\nmodel:\n  cell: lsmt\n  hiden_size: 3\ntrain: {steps: 0, batch_size: a}\n")
    with pytest.raises(ConfigError) as caught:
        ts.load_config(path)
    lines = str(caught.value).splitlines()
    assert [line.split(": error: ")[1].split(":")[0] for line in lines[::3]] == [
        "model.cell", "model.hiden_size", "train.steps", "train.batch_size",
    ]  # fmt: skip
    for head, source, caret in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        column = int(head.removeprefix(f"{path}:").split(":")[1])
        assert caret.index("^") == 4 + column - 1
        assert source[4:].strip()
    assert "did you mean 'lstm'?" in lines[0]


def test_missing_and_unknown_task(tmp_path):
    assert problems(tmp_path, "seed: 0\n") == ["1:1: error: task: required, but not given"]
    found = problems(tmp_path, "task: langage_model\nseed: x\nmodel: {cell: lstm}\n")
    assert "did you mean 'language_model'?" in found[0]
    assert found[1].startswith("2:7: error: seed")
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: language_model\nmodel: {bidirectional: true}",
         "2:24: error: model.bidirectional: a language model must not read what it predicts; required false"),
        ("task: language_model\nmodel: {causal: false}",
         "2:9: error: model.causal: unknown key: a text is written from left to right, so a language model "
         "always reads so"),
        ("task: seq2seq\nmodel: {causal: false}",
         "2:9: error: model.causal: unknown key: a sentence is written from left to right, so the decoder's mask is "
         "always causal"),
        ("task: seq2seq\nmodel: {architecture: transformer, hidden_size: 10, heads: 4}",
         "2:60: error: model.heads: required a divisor of hidden_size (10), got 4"),
        ("task: seq2seq\ndecode: {measure: bleu}",
         "2:19: error: decode.measure: judged by BLEU, and `bleu` is false; required decode.bleu: true"),
        ("task: seq2seq\ndata: {test: x.tsv}",
         "2:14: error: data.test: a file of its own, but none to train on; required `path` too"),
        ("task: seq2seq\nteacher_forcing: {schedule: linear, start: 0.2, final: 0.9}",
         "2:56: error: teacher_forcing.final: required at most `start` (0.2), got 0.9: the probability falls"),
        ("task: tagging\ndata: {valid: x.conll}",
         "2:15: error: data.valid: a file of its own, but none to train on; required `path` too"),
        ("task: captioning\nmodel: {patch: 20}", "2:16: error: model.patch: required at most data.size (16), got 20"),
        ("task: forecasting\nmodel: {bidirectional: true}",
         "2:24: error: model.bidirectional: a forecast must not read from the end; required false"),
        ("task: forecasting\ndata: {window: 5, warmup: 5}",
         "2:27: error: data.warmup: required less than the window (5), got 5"),
        ("task: forecasting\ndata: {window: null, warmup: 5}",
         "2:30: error: data.warmup: the model reads on (window: null), and only the first steps of a window do not "
         "count; required 0"),
        ("task: forecasting\ndata: {window: null}\ntrain: {bptt: {back: 100}}",
         "3:22: error: train.bptt.back: forecasting reads on by whole chunks (data.window: null); required null or "
         "`every`, got 100"),
        ("task: forecasting\ndata: {columns: [aa, b], targets: [b, aaa]}",
         "2:39: error: data.targets[1]: 'aaa' is not among the columns; did you mean 'aa'?"),
        ("task: forecasting\ndata: {columns: [a, b], time: a}",
         "2:31: error: data.time: 'a' is among the columns: it says when, and is not read"),
        ("task: reservoir\nreadout: {washout: 7000}",
         "2:20: error: readout.washout: required less than data.train (6000), got 7000"),
        ("task: reservoir\nevaluate: {ahead: 2000}",
         "2:19: error: data.valid: required more than evaluate.ahead (2000), got 1000"),
        ("task: classification\ndata: {options: {cuont: 3}}",
         "2:18: error: data.options.cuont: unknown option; did you mean 'count'?"),
        ("task: classification\ndata: {path: x.tsv, options: {count: 3}}",
         "2:30: error: data.options: options of a source, and data from `path`; required none"),
        ("task: classification\ndata: {path: x.tsv, text: label}",
         "2:27: error: data.target: 'label' is the column of the text; it cannot be what is learned too"),
        ("task: classification\ndata: {path: x.csv, inputs: vector, columns: [a, label]}",
         "2:46: error: data.columns: 'label' is what is learned; a model that reads it has nothing to learn"),
        ("task: language_model\ntrain: {lr: 0.1}",
         "2:9: error: train.lr: unknown key; did you mean 'train.optimizer.lr'?"),
        ("task: language_model\nhidden_size: 9",
         "2:1: error: hidden_size: unknown key; did you mean 'model.hidden_size'?"),
    ],
)  # fmt: skip
def test_contradictions_and_misplaced_keys(tmp_path, text, expected):
    found = problems(tmp_path, text + "\n")
    assert found == [expected]


def test_a_contradiction_is_told_beside_other_mistakes_but_not_about_them(tmp_path):
    """`back` is judged although `steps` is wrong; where `every` itself is wrong, nothing is said of `back`."""

    def told(train: str) -> list[str]:
        return [line.split(": ")[2] for line in problems(tmp_path, f"task: language_model\ntrain: {train}\n")]

    assert told("{steps: x, bptt: {every: 8, back: 4}}") == ["train.steps", "train.bptt.back"]
    assert told("{steps: x, bptt: {every: -8, back: 4}}") == ["train.steps", "train.bptt.every"]
    found = told("{optimizer: {name: adma, options: {momentum: 0.9}}, patience: 0}")
    assert found == ["train.optimizer.name", "train.patience"]


def test_keys_that_are_there_twice_are_told_with_everything_else(tmp_path):
    found = problems(tmp_path, "task: language_model\nseed: 0\nsead: 1\nseed: 2\ndata: !x {level: chr}\n")
    assert [line.split(": ")[2] for line in found] == ["sead", "seed", "data"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("task: language_model\nseed: 0\nseed: 1\n", "3:1", "seed: the key is here for the second time"),
        ("a: [1,\nb: 2", "2:5", "not YAML"),
        ("a: b: c", "1:5", "mapping values"),
        ("\ta: 1", "1:1", "not YAML"),
        ("", "1:1", "the file is empty"),
        ("- 1\n", "1:1", "the file holds a list"),
    ],
)
def test_files_that_do_not_parse(tmp_path, text, place, words):
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"{place}: error: ")
    assert words in found


def test_config_file_missing_or_not_utf8(tmp_path):
    (tmp_path / "near.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"does not exist[\s\S]*near\.yaml"):
        ts.load_config(tmp_path / "far.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="byte offset 3"):
        ts.load_config(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        ts.load_config(tmp_path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_valid(path):
    assert ts.load_config(path).output == "runs"


def test_overrides_replace_and_are_checked():
    assert parse_config({"task": "language_model"}, {"train.steps": 7}).train.steps == 7
    with pytest.raises(ConfigError, match=r"train\.steps: required at least 1, got 0"):
        parse_config({"task": "language_model"}, {"train.steps": 0})


def test_paths_are_meant_from_the_config_folder(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\ndata: {path: sub/text.txt}\n")
    assert ts.load_config(path).data.path == str(tmp_path.resolve() / "sub" / "text.txt")


def test_write_then_parse_is_the_same():
    data = parse_config({"task": "language_model", "train": {"optimizer": {"lr": 1e-5}}}).model_dump(mode="json")
    assert yaml.parse(yaml.write(data, heading="a\nb")).data == data


CELL = """
import tinyseq as ts
from tinyseq import nn

class Mine(nn.Cell):
    def __init__(self, input_size, hidden_size, gain=1.0):
        self.hidden_size = hidden_size
        self.W = nn.parameter(nn.init.recurrent(hidden_size, input_size))
        self.gain = float(gain)
    def step(self, x, h):
        h = (self.gain * (ts.concat([h, x], axis=-1) @ self.W)).tanh()
        return h, h

class NotACell:
    pass
"""


def test_cell_of_ones_own_from_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(CELL)
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\nmodel: {cell: mine.py:Mine, options: {gain: 0.5}}\n")
    config = ts.load_config(path)
    before = ts.random.generator.state()
    ts.load_config(path)
    assert ts.random.generator.state() == before, "trying a cell out changes no random numbers"
    layers = registry.build_recurrent(config.model.cell, 3, 4, num_layers=2, options=config.model.options)
    ys, _ = layers(ts.zeros(2, 5, 3))
    assert ys.shape == (2, 5, 4)
    assert layers.layers[0][0].gain == 0.5
    assert layers.layers[1][0].name == "mine1"


def test_a_problem_that_is_being_told_holds_no_random_numbers(tmp_path):
    def refuses(input_size, hidden_size):
        nn.Linear(input_size, hidden_size)
        raise ValueError("no such sizes")

    before = ts.random.generator.state()
    problems = registry.option_problems(refuses, {}, (2, 2))
    assert "no such sizes" in str(next(problems))
    assert ts.random.generator.state() == before
    ts.rand(1)
    assert list(problems) == []
    assert ts.random.generator.state()["calls"] == before["calls"] + 1


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("mine.py:Mien", "did you mean 'Mine'"),
        ("mine.py:NotACell", "not a cell"),
        ("broken.py:Mine", "cannot be imported: ZeroDivisionError"),
        ("mine.py:Mine, options: {gain: loud}", "could not convert string to float"),
    ],
)
def test_cells_of_ones_own_that_do_not_work(tmp_path, cell, words):
    (tmp_path / "mine.py").write_text(CELL)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (found,) = problems(tmp_path, f"task: language_model\nmodel: {{cell: {cell}}}\n")
    assert words in found


def test_registered_cell_is_found_and_rejected_by_name():
    registry.register_cell("mine_too", nn.RNNCell)
    try:
        assert isinstance(registry.build_recurrent("mine_too", 2, 3).layers[0][0], nn.RNNCell)
    finally:
        del nn.CELLS["mine_too"]
    with pytest.raises(ConfigError, match="unknown cell 'mine_too'"):
        registry.find_cell("mine_too")


def test_every_field_has_a_description():
    from tinyseq.train.tasks.language_model import LanguageModelConfig

    def check(section):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                check(field.annotation)

    check(LanguageModelConfig)


def rates(name, steps, **settings):
    schedule = make_schedule(name, steps, **settings)
    return [schedule.factor(count) for count in range(steps)]


def test_schedules():
    assert rates("constant", 3) == [1.0, 1.0, 1.0]
    assert rates("linear", 4) == [1.0, 0.75, 0.5, 0.25]
    assert rates("cosine", 10)[5] == pytest.approx(0.5)
    assert min(rates("cosine", 10, final=0.2)) > 0.2
    assert rates("step", 4, every=2, gamma=0.5) == [1.0, 1.0, 0.5, 0.5]
    assert rates("step", 3, gamma=0.5) == [1.0, 0.5, 0.25], "by default at each third"
    assert rates("constant", 5, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates("linear", 2, warmup=3) == pytest.approx([0.25, 0.5]), "a run that ends on the rise"


def test_plateau_counts_in_the_sense_of_the_measure():
    for mode, values in (("min", [1.0, 2.0, 2.0]), ("max", [1.0, 0.5, 0.5])):
        schedule = make_schedule("plateau", 9, mode=mode, patience=1, gamma=0.1)
        for value in values:
            schedule.observe(value)
        assert schedule.factor(3) == pytest.approx(0.1)
