"""The page and the JSON as texts: well formed, complete, by the schema, harmless; the browser has tests of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import tinyseq as ts
from support.drawing_models import LanguageModel, Leaky, language_model
from support.hostile_names import HOSTILE, named
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.drawing.formats.html import SCRIPTS, embedded
from tinyseq.drawing.page import MOST_ON_A_PAGE

SCHEMA = json.loads(files("tinyseq.drawing").joinpath("assets", "picture.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def compiled() -> Any:
    fast = ts.compile(LanguageModel())
    fast(ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    return fast


def data_of(html: str) -> Any:
    """The page's data, as a browser's own parser cuts it out."""
    return json.loads(html.split('<script id="data" type="application/json">', 1)[1].split("</script", 1)[0])


SUBJECTS = {
    "eager": lambda: ts.draw(language_model(3, eager=True)),
    "cells": lambda: ts.draw(language_model(3, eager=True, layers=2), level="cell", title="LM"),
    "traced": lambda: ts.draw(language_model(3)),
    "rolled": lambda: ts.draw(language_model(3), rolled=True),
    "gradients": lambda: ts.draw(language_model(3, eager=True, truncate=2), gradients=True),
    "values": lambda: ts.draw(language_model(2, eager=True), values=True),
    "backward": lambda: ts.draw(language_model(2, eager=True), backward=True),
    "window": lambda: ts.draw(language_model(20, eager=True), steps=(3, 6)),
    "both ways": lambda: ts.draw(language_model(3, bidirectional=True)),
    "own cell": lambda: ts.draw(ts.trace(lambda xs: Leaky()(xs)[0].sum(), ts.randn(2, 3, 8))),
    "passes": lambda: ts.draw(compiled()),
    "plan": lambda: ts.draw(compiled().plan),
    "no steps": lambda: ts.draw(ts.tensor(np.ones(2), requires_grad=True).tanh().sum()),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_json_is_by_the_schema_and_the_page_holds_the_same(name: str) -> None:
    drawing = SUBJECTS[name]()
    document = json.loads(drawing.render("json"))
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert data_of(drawing.html) == document
    for scene in document["scenes"]:
        ids = {item["id"] for item in scene["items"]}
        assert len(ids) == len(scene["items"])
        assert all(edge["source"] in ids and edge["target"] in ids for edge in scene["edges"])
        for item in scene["items"]:
            assert item.get("row") is None or item["row"] < len(scene["rows"])
            assert item.get("column") is None or item["column"] < len(scene["columns"])
        for step in (scene["playback"] or {"steps": []})["steps"]:
            assert step["item"] in ids
            assert all(flow.get("item") is None or flow["item"] in ids for flow in step["flows"])


def test_the_schema_refuses_what_it_should() -> None:
    document = ts.draw(language_model(1)).document
    for change in ({"version": 2}, {"scenes": []}, {"surprise": 1}, {"format": "dot"}):
        assert not VALIDATOR.is_valid(document | change)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_json_says_what_the_picture_says() -> None:
    drawing = ts.draw(language_model(3, eager=True, truncate=2), title="Truncated")
    (scene,) = drawing.document["scenes"]
    assert drawing.document["title"] == "Truncated"
    assert [column["label"] for column in scene["columns"]] == ["t = 0", "t = 1", "t = 2"]
    assert sorted(edge["label"] for edge in scene["edges"] if edge.get("cut")) == ["c₁", "h₁"]
    sigmoid = next(item for item in scene["items"] if item.get("label") == "σ")
    assert sigmoid["details"]["formula"].startswith("y = σ(x) = 1/(1 + e⁻ˣ)")
    assert sigmoid["details"]["flops"] > 0
    assert "lstm.py:" in sigmoid["details"]["source"]
    weights = {weight["name"]: weight["uses"] for group in scene["weights"] for weight in group["weights"]}
    assert weights["W_f"] == 3
    turn = next(step for step in scene["playback"]["steps"] if step["op"] == "tanh")
    assert turn["flows"][0]["derivative"] == "g · (1 − y²)"
    assert turn["arriving"]["norm"] > 0


def test_a_page_holds_every_operation_whatever_the_other_formats_fold() -> None:
    drawing = ts.draw(language_model(30, eager=True), budget=60)
    (scene,) = drawing.document["scenes"]
    assert len(drawing.view.items) <= 60
    assert drawing.document["folded"]
    assert len(scene["columns"]) == 30
    assert sum(item["kind"] == "op" for item in scene["items"]) > 500
    assert not ts.draw(language_model(2, eager=True)).document["folded"]


def test_what_is_larger_than_a_page_is_folded_and_says_so() -> None:
    drawing = ts.draw(language_model(400))
    (scene,) = drawing.document["scenes"]
    assert scene["ops"] > MOST_ON_A_PAGE
    assert len(scene["items"]) <= MOST_ON_A_PAGE
    assert any("budget" in note for note in scene["notes"])


def test_without_time_steps_a_page_holds_the_folded_picture_and_the_operations() -> None:
    encoder = nn.TransformerEncoder(8, 2, 2)
    drawing = ts.draw(ts.trace(lambda x: encoder(x).sum(), ts.randn(1, 3, 8)))
    folded, whole = drawing.document["scenes"]
    assert (folded["name"], whole["name"]) == ("by cell", "operations")
    assert len(folded["items"]) < len(whole["items"])
    ids = {item["id"] for item in folded["items"]}
    assert {step["item"] for step in folded["playback"]["steps"]} <= ids
    assert len(folded["playback"]["steps"]) > len(ids)  # a cell has a turn for each of its ops


def test_a_compiled_function_brings_every_pass_and_what_it_changed() -> None:
    fast = compiled()
    document = ts.draw(fast).document
    assert [scene["name"].split()[1] for scene in document["scenes"]] == [stage.name for stage in fast.passes]
    assert document["start"] == 0
    pack = ts.draw(fast, after="pack").document
    assert pack["scenes"][pack["start"]]["name"].endswith(" pack")
    assert all(scene["rolled"] for scene in document["scenes"][:5])
    assert not any("change" in item for item in document["scenes"][0]["items"])
    assert any(item.get("change") == "new" for item in pack["scenes"][pack["start"]]["items"])


def test_what_json_has_no_numbers_for_is_said_in_words() -> None:
    x = ts.tensor(np.zeros(2), requires_grad=True)
    document = json.loads(ts.draw(x.sqrt().sum()).render("json"))
    assert document["scenes"][0]["playback"]["weights"][0]["amount"] == {
        "norm": "inf", "shape": "(2)", "values": ["inf", "inf"],
    }  # fmt: skip
    assert VALIDATOR.is_valid(document)


# -- harmless ----------------------------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_can_leave_the_element_that_the_data_stands_in(text: str) -> None:
    found = embedded({text: [text]})
    assert not re.search("[<>&\u2028\u2029]", found)
    assert found.isascii()
    assert json.loads(found) == {text: [text]}


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_stay_in_the_data(name: str) -> None:
    html = ts.draw(named(name), title=name).html
    assert html.count("<script") == html.count("</script") == 2
    data = html.split('type="application/json">', 1)[1].split("</script>", 1)[0]
    assert "<" not in data
    assert "\u202e" not in html
    assert html.encode()  # no lone surrogate either


def test_the_policy_names_the_script_and_the_style_by_their_digests_and_nothing_else() -> None:
    html = ts.draw(language_model(1)).html
    policy = re.search('Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    script = html.split("</script>\n<script>", 1)[1].split("</script>", 1)[0]
    style = html.split("<style>", 1)[1].split("</style>", 1)[0]
    for source, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[source] == f"'sha256-{digest}'"
    assert "unsafe" not in policy[1]


def test_the_script_writes_text_only_and_asks_for_nothing() -> None:
    for part in SCRIPTS:
        code = files("tinyseq.drawing").joinpath("assets", part).read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(",
                     "XMLHttpRequest", "import(", "http:", "https:"):  # fmt: skip
            assert word not in code.replace("http://www.w3.org/2000/svg", ""), (part, word)


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_suffix_is_the_format(tmp_path: Path) -> None:
    for suffix, start in ((".html", "<!DOCTYPE html>"), (".json", '{"format":"tinyseq-picture"')):
        ts.draw(language_model(1), tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize("suffix", ["html", "json"])
def test_the_command_line_writes_both(suffix: str, tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "examples" / "adding.yaml"
    out = tmp_path / f"picture.{suffix}"
    done = CliRunner().invoke(main, ["graph", str(config), "--steps", "2", "-o", str(out)])
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    (scene,) = (data_of(text) if suffix == "html" else json.loads(text))["scenes"]
    assert [column.get("step") for column in scene["columns"]] == [0, 1]
    assert scene["playback"]["steps"][0]["arriving"]["norm"] == 1
