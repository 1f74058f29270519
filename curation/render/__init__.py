"""The rendered classroom: lessons of drawn students with exact truth, for tests, demos and the shipped proposer."""

from curation.render.classroom import RenderConfig, render_classroom
from curation.render.measure import PeopleMeasure, measure_people, truth_of_tubelets
from curation.render.simulate import simulate_poses
from curation.render.truth import Truth, read_truth, truth_path

__all__ = [
    "PeopleMeasure",
    "RenderConfig",
    "Truth",
    "measure_people",
    "read_truth",
    "render_classroom",
    "simulate_poses",
    "truth_of_tubelets",
    "truth_path",
]
