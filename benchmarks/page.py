"""How the HTML page stands up to a large graph: time to the first picture, and time of each interaction, in Chromium.

    python benchmarks/page.py                5,000 nodes, all of them unfolded
    python benchmarks/page.py --steps 40

A time is from the event to the end of the second frame after it, so layout, painting and compositing are in it; the
median and the largest of a few are told. The aim: the first picture under 3 s, an interaction under 100 ms.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tinyseq as ts
from tinyseq import nn

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
#: Runs an action in the page and waits for what it draws.
TIMED = """async code => {
    const action = new Function(code), start = performance.now();
    action();
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
}"""
KEY = "document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{0}', bubbles: true}}))"
WHEEL = (
    "document.getElementById('stage').dispatchEvent(new WheelEvent('wheel', "
    "{{deltaY: {0}, clientX: 500, clientY: 400, cancelable: true}}))"
)
POINT = (
    "document.getElementById('stage').dispatchEvent(new PointerEvent('pointermove', "
    "{{clientX: 400 + {0} * 37, clientY: 390, bubbles: true}}))"
)
SEARCH = "const find = document.getElementById('find'); find.value = '{0}'; find.dispatchEvent(new Event('input'))"
SLIDE = "const step = document.getElementById('step'); step.value = '{0}'; step.dispatchEvent(new Event('input'))"
ACTIONS: dict[str, list[str]] = {
    "unfold everything": [KEY.format("a")],
    "fit everything": [KEY.format("0")],
    "zoom, everything in sight": [WHEEL.format(delta) for delta in (-100, -100, 100, 100, -60)],
    "pan, everything in sight": [KEY.format("ArrowRight").replace("bubbles", "shiftKey: true, bubbles")] * 5,
    "search": [SEARCH.format(words) for words in ("t", "ta", "tanh", "sigmoid lstm1", "W_o")],
    "focus on a step": [SLIDE.format(step) for step in (1, 30, 60, 90, 120)],
    "no focus": [KEY.format("Escape")],
    "backward pass, a step": [KEY.format(".")] * 5,
    "gradients as colours, on and off": [KEY.format("g")] * 4,
    "point at nodes": [POINT.format(number) for number in range(5)],
    "walk": [KEY.format(key) for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft")],
    "zoom, near": [WHEEL.format(delta) for delta in (-100, 100, -100, 100, 60)],
    "pan, near": [KEY.format("ArrowRight").replace("bubbles", "shiftKey: true, bubbles")] * 5,
    "fold a cell": [KEY.format("f")] * 4,
    "fold everything": [KEY.format("a")],
}


def model(steps: int) -> Any:
    """The loss of a stacked LSTM and a linear head."""
    rnn, head = nn.LSTM(8, 4, num_layers=2), nn.Linear(4, 5)
    return nn.cross_entropy(head(rnn(ts.randn(2, steps, 8))[0]), ts.tensor([[1] * steps] * 2))


def measure(page: Any, path: Path) -> None:
    """Open the page in a tab, and print the table."""
    page.on("pageerror", lambda error: print("error in the page:", error))
    page.goto(path.as_uri())
    page.wait_for_function("performance.getEntriesByName('first-picture').length")
    first = page.evaluate("performance.getEntriesByName('first-picture')[0].startTime")
    print(f"{'first picture':<34}{first:8.0f} ms")
    print(f"{'':<34}  median largest")
    for name, codes in ACTIONS.items():
        times = [page.evaluate(TIMED, code) for code in codes]
        elements = page.evaluate("document.querySelectorAll('#picture *').length")
        print(f"{name:<34}{statistics.median(times):8.0f}{max(times):8.0f} ms {elements:8,} elements")


def main() -> None:
    """Draw the page, and open it in a browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=137)
    steps = parser.parse_args().steps
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        start = time.perf_counter()
        drawing = ts.draw(model(steps), path)
        seconds = time.perf_counter() - start
        nodes = len(drawing.document["scenes"][0]["items"])
        print(f"{nodes:,} nodes; written in {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        measure(browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True), path)
        browser.close()


if __name__ == "__main__":
    main()
