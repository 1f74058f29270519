"""The command line. Each command lives in a module of its own that is imported when the command runs, so that help is instant."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from schemas.errors import CurationError

__all__ = ["cli", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("workspace:init", "Make a workspace."),
    "doctor": ("doctor:doctor", "Check this machine and the workspace; --fix repairs what it can."),
    "models": ("models:models", "Fetch or build the pose, hand and face bundles; list models; write them as ONNX."),
    "capture": ("capture:capture", "Record cameras live, and add what was filmed."),
    "add": ("media:add", "Add videos and images to the workspace."),
    "preannotate": ("media:preannotate", "Find people, tracks, poses and tubelets, and propose behaviours."),
    "propose": ("propose:propose", "Write Label Studio tasks with proposals for images or videos (no workspace needed)."),
    "blur": ("blur:blur", "Write copies of clips with faces or heads covered."),
    "label": ("label:label", "Push tasks to Label Studio, pull annotations back."),
    "backend": ("servers:backend", "Serve the models to Label Studio."),
    "up": ("servers:up", "Start Label Studio, the ML backend and FiftyOne's app, on loopback."),
    "down": ("servers:down", "Stop the servers that `up` started."),
    "status": ("servers:status", "Say what runs, and how far the work is."),
    "score": ("score:score", "Score every label by how suspect it is."),
    "rank": ("score:rank", "Rank labels by suspicion, from plain files (no workspace needed)."),
    "crossval": ("score:crossval", "Out-of-fold probabilities for a sequence file (no workspace needed)."),
    "review": ("review:review", "Open the review in FiftyOne, apply its verdicts, undo."),
    "split": ("export:split", "Split by lesson and student, with a certificate."),
    "export": ("export:export", "Write a class-balanced training set."),
    "train": ("learn:train", "Train a model on an export."),
    "evaluate": ("learn:evaluate", "Measure a model on the frozen test lessons."),
    "promote": ("learn:promote", "Let a model through the gate if it is better on the frozen test lessons."),
    "rollback": ("learn:rollback", "Go back to the model before."),
    "select": ("learn:select", "Choose the next batch to label."),
    "round": ("learn:round_", "Score, export, train, gate and select in one go."),
    "report": ("learn:report", "Say what the workspace holds and how its models did."),
    "simulate": ("simulate:simulate", "Active-learning curve on a sequence file (no workspace needed)."),
    "render": ("render:render", "Render a classroom with exact ground truth."),
    "demo": ("demo:demo", "The whole loop on a rendered classroom."),
    "bench": ("bench:bench", "Run a benchmark by name."),
}
"""Command → ("module:attribute" under `curation.cli`, its line in the help)."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is run or asked for its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"curation.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 132})
@click.version_option(package_name="curate-behaviour", prog_name="curate")
def cli() -> None:
    """Turn classroom video into clean, class-balanced, leak-free training sets of student behaviour."""


def main() -> None:
    """Run the command line: exit 0 on success, 1 with one line on an expected failure, 2 on wrong usage, 130 on Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CurationError as error:
        click.echo(f"curate: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("curate: interrupted; the same command again goes on from here", err=True)
        sys.exit(130)
    except OSError as error:
        click.echo(f"curate: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(1)
