"""Curves of a training: a picture, and TensorBoard's event files where TensorBoard is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from backends.training_plan import TrainingHistory
from schemas.files import replace_file

__all__ = ["CURVES_NAME", "write_curves"]

CURVES_NAME = "curves.png"


def write_curves(folder: str | Path, histories: Sequence[TrainingHistory], *, title: str) -> list[Path]:
    """Draw the losses of each training over its epochs into ``curves.png``; nothing is written where there was no epoch.

    With TensorBoard installed, ``tensorboard/`` gets the same values as event files.

    Returns:
        What was written.

    Raises:
        StorageError: if the folder cannot be written to.
    """
    drawn = [history for history in histories if history.train_loss]
    if not drawn:
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(drawn), 3.2), layout="constrained")
    axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    for number, (axis, history) in enumerate(zip(axes, drawn, strict=True), 1):
        epochs = range(1, len(history.train_loss) + 1)
        axis.plot(epochs, history.train_loss, marker="." if len(epochs) < 20 else "", label="training")
        if history.val_loss:
            axis.plot(epochs, history.val_loss, marker="." if len(epochs) < 20 else "", label="validation")
            axis.axvline(history.best, color="grey", linestyle=":", label=f"kept: epoch {history.best}")
        axis.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))
        axis.set_title(title if len(drawn) == 1 else f"{title} ({number} of {len(drawn)})", fontsize="medium")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    path = Path(folder) / CURVES_NAME
    with replace_file(path) as stream:
        figure.savefig(stream, dpi=110, format="png", metadata={"Software": None})
    return [path, *_write_events(Path(folder) / "tensorboard", drawn)]


def _write_events(folder: Path, histories: Sequence[TrainingHistory]) -> list[Path]:
    if find_spec("tensorboard") is None:
        return []
    from torch.utils.tensorboard import SummaryWriter

    for number, history in enumerate(histories, 1):
        with SummaryWriter(str(folder / f"training-{number}")) as writer:  # type: ignore[no-untyped-call, unused-ignore]
            for side, losses in (("training", history.train_loss), ("validation", history.val_loss)):
                for epoch, loss in enumerate(losses, 1):
                    writer.add_scalar(f"loss/{side}", loss, epoch)  # type: ignore[no-untyped-call, unused-ignore]
    return [folder]
