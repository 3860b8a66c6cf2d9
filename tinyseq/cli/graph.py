"""``tinyseq graph``: pictures of a model's graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import note, show

if TYPE_CHECKING:
    from tinyseq.drawing import Drawing
    from tinyseq.train.tasks.learning import Learning

    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # which takes no type before click 8.3


#: Each is drawn of as many ops as a step has; of more, nobody sees more.
MOST_STEPS = 10_000


class StepRange(_ParamType):
    """``5``, the steps to unroll; or ``3:6``, the window of steps to show."""

    name = "N or A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        first, colon, end = str(value).partition(":")
        if not re.fullmatch(r"[0-9]+|[0-9]*:[0-9]*", str(value)):
            self.fail(f"{value!r} is neither a number of steps, 5, nor a window of them, 3:6", param, ctx)
        if not colon:
            self.bounded(first, param, ctx)
            return int(first), None
        if max(len(first), len(end)) > len(str(MOST_STEPS)):
            self.bounded(max(first, end, key=len), param, ctx)
        window = int(first or 0), int(end) if end else int(first or 0) + 3
        self.bounded(str(window[1]), param, ctx)
        if window[1] <= window[0]:
            self.fail(f"{value!r} holds no step: A:B ends before B", param, ctx)
        return window[1] + 1, window

    def bounded(self, number: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        if len(number) > len(str(MOST_STEPS)) or not 1 <= int(number) <= MOST_STEPS:
            self.fail(
                f"at least one step, and at most {MOST_STEPS:,} are unrolled; --rolled shows the loop", param, ctx
            )


@click.command("graph", short_help="Draw the graph of a model.")
@click.argument("what", type=click.Path(), metavar="CONFIG|RUN")
@click.option(
    "--steps", type=StepRange(), default="3", show_default=True, help="Steps to unroll; 3:6 shows 3, 4 and 5."
)
@click.option("--level", type=click.Choice(["model", "cell", "op"]), default="op", show_default=True)
@click.option("--rolled", is_flag=True, help="One step of each loop, its states led back through z⁻¹.")
@click.option("--collapse", multiple=True, metavar="SCOPE", help="Draw a scope as one box; may be given again.")
@click.option("--gradients", is_flag=True, help="Colour by the norms of the loss's gradients.")
@click.option("--backward", is_flag=True, help="Draw the backward pass.")
@click.option("--after", metavar="PASS", help="The graph after a compiler pass; PASS:2 is its second time.")
@click.option("--plan", is_flag=True, help="The compiler's plan: instructions, and the buffers' lifetimes.")
@click.option("--values", is_flag=True, help="Write the values of small tensors on them.")
@click.option(
    "--budget", type=click.IntRange(min=0), default=400, show_default=True, help="Fold above so many nodes; 0: never."
)
@click.option("--engine", type=click.Choice(["grid", "graphviz"]), default="grid", show_default=True)
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=".svg, .png, .pdf, .html, .json or .dot; by default CONFIG.svg.",
)
@set_option
@debug_option
def command(
    what: str,
    steps: tuple[int, tuple[int, int] | None],
    level: str,
    rolled: bool,
    collapse: tuple[str, ...],
    gradients: bool,
    backward: bool,
    after: str | None,
    plan: bool,
    values: bool,
    budget: int,
    engine: str,
    out: str | None,
    settings: list[Any],
) -> None:
    """Draw the graph of a model, from the input to the loss: of a config, or of a run with its trained weights.

    \b
    Examples:
        tinyseq graph examples/lstm.yaml --steps 3 -o lstm.svg          unrolled over time
        tinyseq graph examples/lstm.yaml --rolled -o lstm.svg           the cyclic figure, delays marked z⁻¹
        tinyseq graph examples/lstm.yaml --steps 100 --level cell       first, second, ..., last
        tinyseq graph runs/lstm/0001 --steps 8 --level cell --gradients
        tinyseq graph examples/lstm.yaml --after pack -o packed.svg     what the compiler made of it, and what changed
        tinyseq graph examples/lstm.yaml --plan -o plan.svg
        tinyseq graph examples/lstm.yaml -o lstm.html                   a page to explore, and to play backward
        tinyseq graph examples/lstm.yaml --after trace -o passes.html   every pass, to switch between
    """
    from tinyseq.drawing import draw
    from tinyseq.train.loop.patience import told_where_long
    from tinyseq.train.trained import model_of

    name = Path(what).stem if Path(what).is_file() else f"{Path(what).absolute().parent.name}-{Path(what).name}"
    path = Path(out) if out is not None else Path(f"{name}.svg")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint="'-o'")
    if (after is not None or plan) and (gradients or backward or values):
        raise click.UsageError(
            "--after and --plan show the compiler's work, which has no values or gradients of its own"
        )
    options: dict[str, Any] = {"level": level, "collapse": collapse, "budget": budget or None, "engine": engine}
    if settings and Path(what).is_dir():
        raise click.UsageError("--set changes a config; a run has been trained as it is")
    advice = "Ctrl-C stops it; fewer --steps, or --rolled, is quicker"
    with told_where_long(note, "drawing", advice), model_of(what, settings) as (task, model):
        model.eval()  # a picture of the equations, without dropout
        if after is not None or plan:
            fast = _compiled(task, model, steps[0])
            drawing = (
                draw(fast.plan, path, title=f"{task.config.task}: the plan")
                if plan
                else draw(fast, path, after=after, title=f"{task.config.task}, after {after}", **options)
            )
        else:
            title = f"{task.config.task}, " + ("one step" if rolled else _plural(steps[0]))
            drawing = draw(
                _example(task, model, steps[0]), path, title=title, rolled=rolled, steps=steps[1],
                gradients=gradients, backward=backward, values=values, **options,
            )  # fmt: skip
    _tell(drawing, path)


def _example(task: Learning[Any], model: Any, steps: int) -> Any:
    """The loss of the task's example, traced: with loops, and the initial states that an eager pass does not record."""
    from tinyseq.drawing import valued
    from tinyseq.errors import GraphError

    try:
        return valued(lambda: task.example(model, steps))
    except GraphError:  # it looks at values on its way
        return task.example(model, steps)


def _plural(steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'}"


def _compiled(task: Learning[Any], model: Any, steps: int) -> Any:
    import tinyseq as ts

    fast = ts.compile(lambda: task.example(model, steps))
    fast()
    return fast


def _tell(drawing: Drawing, path: Path) -> None:
    for line in drawing.view.notes:
        note(line)
    show(path)
