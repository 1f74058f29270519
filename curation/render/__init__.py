"""The rendered classroom: lessons of drawn students with exact truth, for tests, demos and the shipped proposer."""

from curation.render.classroom import RenderConfig, render_classroom
from curation.render.truth import Truth, read_truth, truth_path

__all__ = ["RenderConfig", "Truth", "read_truth", "render_classroom", "truth_path"]
