"""The command line: ``tinyseq``. A file per command; each is imported when it is asked for."""

from __future__ import annotations

import sys
from typing import Any

import click

import tinyseq
from tinyseq.cli.boundary import guarded
from tinyseq.cli.options import with_help
from tinyseq.errors import did_you_mean
from tinyseq.registry import Registry
from tinyseq.starting import ready
from tinyseq.terminal import open_standard_streams, settle

#: Command -> where it is; it is imported when it is asked for.
COMMANDS: Registry[click.Command] = Registry(
    "command",
    {
        "run": "tinyseq.cli.run:command",
        "sweep": "tinyseq.cli.sweep:command",
        "evaluate": "tinyseq.cli.evaluate:command",
        "predict": "tinyseq.cli.predict:command",
        "sample": "tinyseq.cli.sample:command",
        "graph": "tinyseq.cli.graph:command",
        "compile": "tinyseq.cli.compile:command",
        "gradflow": "tinyseq.cli.gradflow:command",
        "plot": "tinyseq.cli.plot:command",
        "report": "tinyseq.cli.report:command",
        "equations": "tinyseq.cli.equations:command",
        "import": "tinyseq.cli.import_weights:command",
        "replay": "tinyseq.cli.replay:command",
        "check": "tinyseq.cli.check:command",
        "config": "tinyseq.cli.config:command",
        "schema": "tinyseq.cli.schema:command",
        "init": "tinyseq.cli.init:command",
        "doctor": "tinyseq.cli.doctor:command",
    },
)


class Commands(click.Group):
    """A group that imports a command when it is asked for, and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return with_help(COMMANDS[name]) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        ready()
        open_standard_streams()
        try:
            return super().main(*args, **kwargs)
        finally:
            settle(sys.stdout)
            settle(sys.stderr)

    def invoke(self, ctx: click.Context) -> Any:
        return guarded(ctx, super().invoke)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tinyseq.__version__, prog_name="tinyseq")
def main() -> None:
    """Sequence models from textbook equations: train them, sample them, draw their graphs.

    \b
    A first run, a minute or two on two cores; it needs no data and no network:
        tinyseq run examples/lstm.yaml
    Text from what it learned:
        tinyseq sample runs/lstm --prime "The " --length 300
    How good it is, and what it says of a file of yours:
        tinyseq evaluate runs/lstm
        tinyseq predict runs/lstm FILE
    The unrolled graph, and figures of a run:
        tinyseq graph examples/lstm.yaml --steps 3 -o lstm.svg
        tinyseq plot runs/lstm
        tinyseq report runs/lstm
    A config of your own, from a starter (without a kind: what there is); is it right, and what does it cost?
        tinyseq init tagging > mine.yaml
        tinyseq check mine.yaml

    Exit codes: 0 done, 1 failure, 2 usage or config, 3 diverged, 130 interrupted, 143 terminated.
    """


with_help(main)
