"""The page in a real browser: what a reader sees, clicks, types and hears."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.browsing import browser, opened
from support.drawing_models import LanguageModel, language_model
from support.hostile_names import HOSTILE
from tinyseq.drawing import valued
from tinyseq.drawing.shared.text import clean


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages that the tests open."""
    folder = tmp_path_factory.mktemp("pages")
    ts.seed(0)
    ts.draw(language_model(4, eager=True, layers=2), folder / "lstm.html", title="LSTM")
    ts.draw(language_model(4, eager=True, layers=2), folder / "cell.html", title="LSTM", level="cell")
    ts.draw(language_model(6, eager=True, truncate=2), folder / "cut.html")
    fast = ts.compile(LanguageModel())
    fast(ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    ts.draw(fast, folder / "passes.html")
    return folder


@pytest.fixture
def show(chrome: Any, files: Path) -> Iterator[Any]:
    """Open one of the pages; afterwards nothing may have gone wrong in it, and nothing have asked for the network."""
    pages: list[Any] = []

    def open_page(name: str, **options: Any) -> Any:
        page = opened(chrome, files / name, **options)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        trouble = page.trouble
        page.context.close()
        assert trouble == []


def nodes(page: Any) -> int:
    """How many nodes the first scene's data holds."""
    return page.evaluate("JSON.parse(document.getElementById('data').textContent).scenes[0].items.length")


def boxes(page: Any, kind: str = "") -> int:
    return page.locator(f"#picture .box{kind and '.' + kind}").count()


def said(page: Any) -> str:
    return page.locator("#live").inner_text()


def text_of(page: Any, selector: str) -> str:
    return page.locator(selector).inner_text()


def settled(page: Any) -> None:
    """Wait until what was asked for is painted."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    settled(page)


# -- the picture -------------------------------------------------------------------------------------------------------


def test_it_shows_every_node_inside_the_window(show: Any) -> None:
    page = show("lstm.html")
    assert page.title() == "LSTM"
    assert boxes(page) == nodes(page) > 150
    assert page.locator("#picture .frame").count() == 8
    stage = page.locator("#stage").bounding_box()
    for box in page.locator("#picture .box").all()[::20]:
        place = box.bounding_box()
        assert stage["x"] <= place["x"]
        assert place["x"] + place["width"] <= stage["x"] + stage["width"]
        assert stage["y"] <= place["y"]
        assert place["y"] + place["height"] <= stage["y"] + stage["height"]


def test_on_a_phone_the_picture_has_the_window_and_the_panel_comes_when_asked_for(show: Any) -> None:
    page = show("lstm.html", viewport={"width": 400, "height": 800})
    stage, panel = page.locator("#stage"), page.locator("#aside")
    assert panel.is_hidden()
    assert stage.bounding_box()["width"] == 400
    picture = page.evaluate("document.querySelector('#picture .box').closest('g').getBoundingClientRect().toJSON()")
    assert picture["left"] >= 0
    page.locator("#aside-toggle").click()
    assert panel.bounding_box()["width"] <= 0.85 * 400
    assert stage.bounding_box()["width"] == 400
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_wheel_buttons_and_keys_zoom_and_a_drag_pans(show: Any) -> None:
    page = show("lstm.html")

    def place() -> Any:
        settled(page)
        return page.locator('#picture .box:has-text("stack")').bounding_box()

    start = place()
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -300)
    page.wait_for_function("!document.querySelector('#picture > g').getAttribute('transform').includes('scale(0.4')")
    wheel = place()
    assert wheel["width"] > start["width"] * 1.3
    page.click("#zoom-in")
    button = place()
    assert button["width"] == pytest.approx(wheel["width"] * 1.25, rel=0.01)
    press(page, "-")
    assert place()["width"] == pytest.approx(wheel["width"], rel=0.01)
    page.mouse.move(300, 100)
    page.mouse.down()
    page.mouse.move(360, 130, steps=3)
    page.mouse.up()
    assert place()["x"] == pytest.approx(wheel["x"] + 60, abs=2)
    press(page, "0")
    assert place() == pytest.approx(start, abs=1)


def test_pointing_shows_everything_about_a_node(show: Any) -> None:
    page = show("lstm.html")
    page.locator('#picture .box:has-text("@ W_f")').first.hover()
    tip = text_of(page, "#tip")
    for part in ("@ W_f", "matmul", "y = A B", "(2, 4)", "float32", "parameters", "FLOPs", "lstm.py:", "rnn/lstm"):
        assert part in tip
    page.mouse.move(5, 400)
    assert page.locator("#tip").is_hidden()


def test_a_click_chooses_a_node_and_tells_it(show: Any) -> None:
    page = show("lstm.html")
    page.locator('#picture .box:has-text("tanh")').first.click()
    assert "tanh" in text_of(page, "#details")
    assert "∂L/∂x = g · (1 − y²)" in text_of(page, "#details")
    assert said(page).startswith("tanh; t = ")
    assert re.search(r"from \+", said(page))
    assert page.locator("#picture .mark.chosen").count() == 1


# -- folding -----------------------------------------------------------------------------------------------------------


def test_all_cells_fold_to_the_lectures_figure_and_unfold_again(show: Any) -> None:
    page = show("lstm.html")
    page.click("#fold-all")
    settled(page)
    assert boxes(page, "cell") == 9  # two layers at four steps, and the head
    assert boxes(page, "op") < 10
    labels = page.locator("#picture .label.state").all_text_contents()
    assert sorted(labels) == sorted(["c₀", "c₁", "c₂", "h₀", "h₁", "h₂"] * 2)
    height = {label.text_content(): float(label.get_attribute("y")) for label in page.locator("#picture .label").all()}
    assert height["c₁"] < height["h₁"]
    for edge in page.locator("#picture .edge:has(.state) path").all():  # straight, from side to side
        numbers = [float(part) for part in re.findall(r"-?\d+\.?\d*", edge.get_attribute("d"))]
        assert numbers[1] == numbers[-1]
    page.click("#unfold-all")
    settled(page)
    assert boxes(page) == nodes(page) > 150


def test_folded_wires_end_on_the_boxes_they_join(show: Any) -> None:
    page = show("lstm.html")
    page.locator('#scopes button[data-scope="rnn/lstm0"]').click()
    settled(page)
    ends = page.evaluate(
        """() => [...document.querySelectorAll('#picture .edge')].map(edge => {
            const path = edge.querySelector('path'), length = path.getTotalLength();
            const rect = id => document.querySelector(`#picture .box[data-id="${CSS.escape(id)}"] rect`).getBBox();
            const off = (point, box) => Math.max(box.x - point.x, point.x - box.x - box.width, box.y - point.y,
                point.y - box.y - box.height, 0);
            const inner = (point, box) => Math.min(point.x - box.x, box.x + box.width - point.x, point.y - box.y,
                box.y + box.height - point.y);
            const first = path.getPointAtLength(0), last = path.getPointAtLength(length);
            const from = rect(edge.dataset.from), to = rect(edge.dataset.to);
            return [off(first, from), off(last, to), inner(first, from), inner(last, to)];
        })"""
    )
    assert len(ends) > 60
    for away_from, away_to, into_from, into_to in ends:
        assert max(away_from, away_to) < 1.5
        assert max(into_from, into_to) < 1.5


def test_no_box_lies_on_another_whatever_is_folded(show: Any) -> None:
    page = show("lstm.html")
    overlaps = """() => {
        const rects = [...document.querySelectorAll('#picture .box > rect')].map(rect => rect.getBBox());
        return rects.flatMap((a, i) => rects.slice(i + 1).filter(b => a.x + a.width > b.x + 1 && b.x + b.width > a.x + 1
            && a.y + a.height > b.y + 1 && b.y + b.height > a.y + 1)).length;
    }"""
    assert page.evaluate(overlaps) == 0
    for scope in ("rnn/lstm1", "head", "rnn", "rnn/lstm0"):
        page.locator(f'#scopes button[data-scope="{scope}"]').click()
        settled(page)
        assert page.evaluate(overlaps) == 0, scope
    press(page, "a", "a")
    for column in (1, 3):
        press(page, "0")
        page.locator(f'#ruler button[data-column="{column}"]').click()
        settled(page)
        assert page.evaluate(overlaps) == 0, column


def test_a_step_folds_by_its_mark_on_the_ruler_and_becomes_narrow(show: Any) -> None:
    page = show("lstm.html")
    mark = page.locator('#ruler button[data-column="1"]')
    assert mark.get_attribute("aria-expanded") == "true"
    mark.click()
    settled(page)
    assert boxes(page, "cell") == 2
    folded, other = page.locator("#picture .box.cell rect").first, page.locator("#picture .frame rect").first
    assert float(folded.get_attribute("width")) < float(other.get_attribute("width")) / 2
    assert page.locator('#ruler button[data-column="1"]').get_attribute("aria-expanded") == "false"
    page.locator('#ruler button[data-column="1"]').click()
    settled(page)
    assert boxes(page, "cell") == 0


def test_the_head_of_a_frame_folds_that_cell_and_a_double_click_opens_it(show: Any) -> None:
    page = show("lstm.html")
    page.locator("#picture .frame text").first.click()
    settled(page)
    assert boxes(page, "cell") == 1
    page.locator("#picture .box.cell").dblclick()
    settled(page)
    assert boxes(page, "cell") == 0


def test_a_picture_asked_for_at_cell_level_starts_folded_and_unfolds(show: Any) -> None:
    page = show("cell.html")
    assert boxes(page, "cell") == 9
    press(page, "a")
    assert boxes(page) == nodes(page) > 150


# -- search ------------------------------------------------------------------------------------------------------------


def test_search_highlights_hits_and_enter_walks_them(show: Any) -> None:
    page = show("lstm.html")
    press(page, "/")
    page.keyboard.type("tanh")
    assert text_of(page, "#count") == "16 found"
    path = page.locator("#picture .mark.hit").get_attribute("d")
    assert path.count("M") == 16
    press(page, "Enter")
    assert text_of(page, "#count") == "1 of 16"
    first = said(page)
    press(page, "Enter", "Enter")
    assert text_of(page, "#count") == "3 of 16"
    assert said(page) != first
    press(page, "Shift+Enter", "Shift+Enter")
    assert said(page) == first
    press(page, "Escape")
    assert page.locator("#find").input_value() == ""
    assert page.locator("#picture .mark.hit").count() == 0


@pytest.mark.parametrize(("words", "found"), [("matmul lstm0", 16), ("W_o", 8), ("sigmoid", 24), ("nothing here", 0)])
def test_search_knows_ops_weights_and_scopes(show: Any, words: str, found: int) -> None:
    page = show("lstm.html")
    page.fill("#find", words)
    assert text_of(page, "#count") == f"{found} found"


def test_a_hit_inside_a_fold_is_opened(show: Any) -> None:
    page = show("cell.html")
    page.fill("#find", "sigmoid lstm1")
    page.press("#find", "Enter")
    settled(page)
    assert page.locator("#picture .box.op:has-text('σ')").count() == 3
    assert said(page).startswith("σ, sigmoid; t = 0")


# -- time and the backward pass ----------------------------------------------------------------------------------------


def test_the_slider_puts_a_step_in_focus_and_dims_the_others(show: Any) -> None:
    page = show("lstm.html")
    page.locator("#step").fill("3")
    settled(page)
    assert text_of(page, "#step-name") == "t = 2"
    dimmed = page.locator("#picture .box.dim").count()
    assert 100 < dimmed < 130
    assert page.locator("#picture .frame.dim").count() == 6
    assert page.locator("#step").get_attribute("aria-valuetext") == "t = 2"
    press(page, "]")
    assert text_of(page, "#step-name") == "t = 3"
    press(page, "]")
    assert text_of(page, "#step-name") == "all"
    assert page.locator("#picture .box.dim").count() == 0


def test_the_backward_pass_is_played_step_by_step(show: Any) -> None:
    page = show("lstm.html")
    press(page, ".")
    assert text_of(page, "#turn-name").startswith("1 of ")
    assert "‖g‖ = 1" in text_of(page, "#details")
    press(page, *["."] * 9)
    details = text_of(page, "#details")
    assert "Backward through tanh" in details
    assert "∂L/∂x = g · (1 − y²)" in details
    assert re.search(r"‖g‖ = 0\.\d+, \(2, 4\)", details)
    assert page.locator("#details .flow table td").count() == 8
    assert page.locator("#picture .mark.turn").count() == 1
    assert page.locator("#picture .mark.flow").count() == 1
    assert page.locator("#picture .norm").count() == 10
    assert re.match(
        r"Backward 10 of \d+: tanh, step 3; gradient of norm 0\.\d+ arrives; to x, c: g · \(1 − y²\)", said(page)
    )
    press(page, ",")
    assert text_of(page, "#turn-name").startswith("9 of ")


def test_play_runs_by_itself_to_the_end_and_tells_the_weights(show: Any) -> None:
    page = show("lstm.html")
    last = int(page.locator("#turn").get_attribute("max"))
    page.locator("#turn").fill(str(last - 1))
    page.click("#play")
    page.wait_for_function(f"document.getElementById('turn').value === '{last}'")
    assert page.locator("#play").get_attribute("aria-pressed") == "false"
    assert "Gradients of the weights" in text_of(page, "#details")
    assert re.search(r"W_f\s+\d\.\d+", text_of(page, "#details"))
    press(page, "p")
    page.wait_for_function("document.getElementById('turn').value === '1'")
    press(page, "p")


def test_a_cut_is_drawn_and_nothing_flows_through_it(show: Any) -> None:
    page = show("cut.html")
    assert page.locator("#picture .wire.cut").count() == 4
    assert page.locator("#picture .scissors").count() == 8
    press(page, "a")
    assert page.locator("#picture .wire.cut").count() == 4


# -- passes ------------------------------------------------------------------------------------------------------------


def test_passes_are_switched_by_menu_buttons_and_keys_and_show_what_changed(show: Any) -> None:
    page = show("passes.html")
    names = page.locator("#pass option").all_inner_texts()
    assert names[0] == "0 trace"
    assert {"expand", "merge", "pack", "distribute"} <= {name.split()[1] for name in names}
    assert page.locator("#picture .delay").count() == 2  # h and c, rolled up
    assert page.locator("#picture .new").count() == 0
    merge = next(name for name in names if name.endswith("merge"))
    page.select_option("#pass", label=merge)
    settled(page)
    changed = re.match(r"(\d+) new", text_of(page, "#changed"))
    assert changed
    assert page.locator("#picture .box.new").count() == int(changed[1]) > 0
    assert "merge:" in text_of(page, "#notes")
    press(page, "PageUp", "PageUp")
    page.click("#pass-on")
    settled(page)
    assert page.locator("#pass").evaluate("menu => menu.selectedIndex") == names.index(merge) - 1
    press(page, *["PageUp"] * len(names))
    assert page.locator("#pass-back").is_disabled()
    assert page.locator("#picture .new").count() == 0


def test_a_page_may_begin_with_a_pass(chrome: Any, files: Path, tmp_path: Path) -> None:
    fast = ts.compile(LanguageModel())
    fast(ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    ts.draw(fast, tmp_path / "pack.html", after="pack")
    page = opened(chrome, tmp_path / "pack.html")
    assert page.locator("#pass").evaluate("menu => menu.selectedOptions[0].text").endswith("pack")
    assert page.locator("#picture .frame.packed").count() > 0
    assert page.trouble == []
    page.context.close()


def test_a_folded_loop_keeps_its_delays(show: Any) -> None:
    page = show("passes.html")
    press(page, "a")
    assert page.locator("#picture .delay").count() == 2
    assert boxes(page, "cell") >= 1
    press(page, "a")
    assert page.locator("#picture .delay").count() == 2


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_gradient_norms_become_colours_and_none_is_said_not_zero(show: Any) -> None:
    page = show("cut.html")
    assert page.locator("#legend").is_hidden()
    press(page, "g")
    assert page.locator("#legend").is_visible()
    assert page.locator("#heat").get_attribute("aria-pressed") == "true"
    behind = page.locator("#picture .box:has-text('no gradient yet')")
    assert behind.count() > 5
    assert "rgb" in page.locator("#picture .box.op > rect[style]").first.get_attribute("style")
    assert page.locator("#picture .box.cell:has-text('‖∂‖')").count() == 7
    press(page, "a")
    assert page.locator("#picture .box.op:has-text('‖∂‖')").count() > 100
    press(page, "g")
    assert page.locator("#picture [style*=fill]").count() == 0


def test_a_picture_with_gradients_asked_for_starts_with_their_colours(chrome: Any, tmp_path: Path) -> None:
    graph = valued(LanguageModel(), ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    ts.draw(graph, tmp_path / "heat.html", gradients=True)
    page = opened(chrome, tmp_path / "heat.html")
    assert page.locator("#legend").is_visible()
    assert page.locator("#picture .box.input.none:has-text('no gradient yet')").count() == 1, "xs"
    targets = page.locator("#picture .box.input:not(.none):has-text('targets')")
    assert "no gradient yet" not in targets.inner_html(), "integers never get one"
    targets.click()
    assert "no derivative" in text_of(page, "#details")
    assert page.locator("#low").inner_text() != page.locator("#high").inner_text()
    wires = "[...document.querySelectorAll('#picture .wire')].map(wire => parseFloat(wire.style.strokeWidth) || 0)"
    widths = [width for width in page.evaluate(wires) if width]
    assert max(widths) > 2 * min(widths)
    assert page.trouble == []
    page.context.close()


def test_a_plan_is_shown_with_its_buffers(chrome: Any, tmp_path: Path) -> None:
    fast = ts.compile(LanguageModel())
    fast(ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    ts.draw(fast.plan, tmp_path / "plan.html")
    page = opened(chrome, tmp_path / "plan.html")
    assert page.locator("#picture .box.instruction").count() > 20
    assert page.locator("#picture .box[class*=buffer]").count() == len(fast.plan.buffers)
    assert page.locator("#picture .use.write").count() > 10
    page.fill("#find", "matmul")
    page.press("#find", "Enter")
    assert re.search("from .*; to ", said(page))
    assert page.trouble == []
    page.context.close()


# -- looks -------------------------------------------------------------------------------------------------------------


def brightness(page: Any, selector: str, what: str = "backgroundColor") -> float:
    colour = page.locator(selector).first.evaluate(f"element => getComputedStyle(element).{what}")
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_light_and_dark_follow_the_system_and_the_button(show: Any) -> None:
    light, dark = show("lstm.html", color_scheme="light"), show("lstm.html", color_scheme="dark")
    assert brightness(light, "#stage") > 240
    assert brightness(dark, "#stage") < 40
    assert dark.locator("#theme").get_attribute("aria-pressed") == "true"
    press(light, "t")
    assert brightness(light, "#stage") < 40
    assert brightness(light, "#picture .box.op > text", "fill") > 200
    dark.click("#theme")
    assert brightness(dark, "#stage") > 240


def test_paper_shows_the_whole_picture_in_light_colours_without_controls(show: Any, tmp_path: Path) -> None:
    page = show("lstm.html", color_scheme="dark")
    press(page, *["+"] * 8)
    near = boxes(page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert boxes(page) == nodes(page) > near
    assert page.locator("#picture").get_attribute("viewBox")
    assert brightness(page, "#stage") > 240
    for hidden in ("footer .group", "aside", "#ruler", "#find"):
        assert page.locator(hidden).first.is_hidden()
    assert page.locator("#picture .steps").first.is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    settled(page)
    assert 0 < boxes(page) <= near


# -- keyboard and screen reader ----------------------------------------------------------------------------------------


def test_the_keyboard_alone_walks_folds_and_reads(show: Any) -> None:
    page = show("lstm.html")
    for _ in range(20):
        press(page, "Tab")
        if page.evaluate("document.activeElement.id") == "stage":
            break
    assert page.evaluate("document.activeElement.id") == "stage"
    assert "Arrow keys walk" in said(page)
    press(page, "ArrowDown")
    start = said(page)
    press(page, "ArrowUp")
    assert said(page) not in ("", start)
    page.fill("#find", "concat lstm1")
    page.press("#find", "Enter")
    page.locator("#stage").focus()
    press(page, "f")
    assert boxes(page, "cell") == 1
    assert "folded" in said(page)
    press(page, "f")
    assert boxes(page, "cell") == 0
    press(page, "F")
    assert boxes(page, "cell") == 4
    press(page, "F", "s")
    assert boxes(page, "cell") == 2
    press(page, "?")
    assert page.locator("#help").is_visible()
    keys = page.locator("#keys kbd").all_text_contents()
    assert len(keys) > 20
    docs = (Path(__file__).parents[2] / "docs" / "pictures-page.md").read_text(encoding="utf-8")
    assert [key for key in keys if {"Esc": "Escape"}.get(key, key) not in docs and key not in "←→↑↓"] == []
    press(page, "Escape")
    assert page.locator("#help").is_hidden()


def test_controls_have_names_and_roles(show: Any) -> None:
    page = show("lstm.html")
    tree = page.locator("body").aria_snapshot()
    for part in (
        'searchbox "Search by name, op or scope"', 'application "Graph"', 'slider "Step"', 'slider "Backward"',
        'button "Play the backward pass"', 'button "Zoom in"', 'complementary "Details and contents"', "status",
        'list "Nodes by time step"', 'button "Fold rnn"',
    ):  # fmt: skip
        assert part in tree, part
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button,input,select')].filter(control => !(control.ariaLabel
            || control.textContent.trim() || control.labels?.length
            || control.hasAttribute('aria-labelledby'))).length"""
    )
    assert unnamed == 0


def test_the_contents_list_every_node_as_text_and_lead_to_it(show: Any) -> None:
    page = show("lstm.html")
    for summary in page.locator("#nodes summary").all():
        summary.click()
    settled(page)
    assert page.locator("#nodes [data-item]").count() == nodes(page)
    page.locator('#nodes details[data-column="2"] button:has-text("@ W_i")').first.click()
    assert "matmul" in text_of(page, "#details")
    assert said(page).startswith("@ W_i, matmul; t = 2")


def test_sliders_and_search_keep_their_own_keys(show: Any) -> None:
    page = show("lstm.html")
    page.locator("#step").focus()
    press(page, "ArrowRight")
    assert text_of(page, "#step-name") == "t = 0"
    page.locator("#find").focus()
    page.keyboard.type("a+b-t.p")
    assert page.locator("#find").input_value() == "a+b-t.p"
    assert page.locator("#turn").input_value() == "0"


# -- hostile names -----------------------------------------------------------------------------------------------------


def hostile(names: list[str]) -> ts.Graph:
    """A graph over time in which every name stands wherever a name can: scopes, weights, states, inputs."""
    weights = [ts.tensor(np.ones((3, 3), np.float32), requires_grad=True) for _ in names]
    for weight, name in zip(weights, names, strict=True):
        weight.name = name

    def step(x: ts.Tensor, state: dict[str, ts.Tensor]) -> tuple[ts.Tensor, dict[str, ts.Tensor]]:
        new = {}
        for name, weight in zip(names, weights, strict=True):
            with ts.scope(name):
                x = (x @ weight + state[name]).tanh()
            new[name] = x
        return x, new

    start = {name: ts.zeros(2, 3) for name in names}
    graph = ts.trace(lambda xs: ts.unroll(step, xs, start, truncate=1)[0].sum(), ts.randn(2, 2, 3))
    graph.inputs[0].name = "".join(names)
    return graph


def test_hostile_names_are_inert_text(chrome: Any, tmp_path: Path) -> None:
    names = [*HOSTILE, "<img src=x onerror=alert(1)>", "${alert(1)}", "</script><script>alert(1)</script>", "__proto__"]
    names = [name for name in dict.fromkeys(names) if name]
    path = tmp_path / "hostile.html"
    ts.draw(hostile(names), path, title="".join(names), budget=None)
    page = opened(chrome, path)
    press(page, "0", "a", "a", ".", ".")
    for summary in page.locator("#nodes summary").all():
        summary.click()
    for word in ("script", "tanh"):
        page.fill("#find", word)
        page.press("#find", "Enter")
    for fold in page.locator("#scopes button").all()[:6]:
        fold.click()
    shown = page.locator("body").text_content()
    for name in names:
        if clean(name).strip("\ufffd "):
            assert clean(name) in shown, name
    assert "\u202e" not in shown
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    assert page.evaluate("document.querySelectorAll('img, b, i, iframe, object, embed, link').length") == 0
    assert page.trouble == []
    page.context.close()


def test_the_policy_stops_what_an_escape_would_let_through(chrome: Any, tmp_path: Path) -> None:
    """Were a name ever to become markup, the browser would still refuse to run or to load it."""
    path = tmp_path / "broken.html"
    bad = "<script>document.title = 'run'</script><img src='https://x.invalid/a.png' onerror=\"document.title='run'\">"
    path.write_text(ts.draw(language_model(1), level="cell").html.replace("<main>", "<main>" + bad))
    page = opened(chrome, path)
    assert page.title() != "run"
    refused = [line for line in page.trouble if "Content Security Policy" in line]
    assert any("inline script" in line for line in refused)
    assert any("image" in line for line in refused)
    page.context.close()


# -- a large graph -----------------------------------------------------------------------------------------------------


def test_a_large_graph_draws_what_is_in_sight_and_few_elements_of_the_rest(chrome: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    ts.draw(language_model(60, layers=2), path)
    page = opened(chrome, path)
    press(page, "a", "0")
    assert page.evaluate("document.querySelectorAll('#picture *').length") < 1500
    page.fill("#find", "sigmoid lstm1")
    page.press("#find", "Enter")
    settled(page)
    assert 20 < boxes(page) < 701
    assert page.locator("#picture .box:has-text('σ')").count() > 3
    assert page.trouble == []
    page.context.close()
