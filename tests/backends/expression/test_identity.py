"""Identity embeddings feed grouping and consent, never a label: by type, and by who imports them."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest

from backends.expression.identity import IdentityEmbeddings, group_faces, match_consent
from schemas.errors import InvalidField
from schemas.scores import SampleScore
from schemas.sequences import SequenceSet

ROOT = Path(__file__).parents[3]
MAY_IMPORT = {"backends/expression/base.py", "backends/expression/facenet.py", "curation/benchmarks/vision_faces.py"}
"""Models that make embeddings, and the benchmark that measures them. Grouping and consent are in the module itself."""


def make_embeddings(*angles):
    at = np.radians(np.array(angles, float))
    return IdentityEmbeddings(np.stack([np.cos(at), np.sin(at)], axis=1))


def test_nobody_else_imports_embeddings_or_the_models_that_make_them():
    found = set()
    for layer in ("schemas", "backends", "curation"):
        for path in (ROOT / layer).rglob("*.py"):
            text = path.read_text("utf-8")
            nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom | ast.Import)]
            names = {n.module for n in nodes if isinstance(n, ast.ImportFrom)} | {
                alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names
            }
            named = {alias.name for n in nodes for alias in n.names}
            if names & {"backends.expression.identity", "backends.expression.facenet"} or "IDENTITY_MODELS" in named:
                found.add(str(path.relative_to(ROOT)))
    assert found <= MAY_IMPORT


def test_embeddings_cannot_become_features_probabilities_or_files(tmp_path):
    embeddings = make_embeddings(0, 30)
    with pytest.raises(TypeError, match="identity embeddings are no features"):
        np.asarray(embeddings)
    with pytest.raises(TypeError, match="identity embeddings are no features"):
        SequenceSet(pose=embeddings, label=["a", "b"], group=["a", "b"])
    with pytest.raises(TypeError):
        np.savez(tmp_path / "a.npz", embeddings)
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(embeddings)
    with pytest.raises((TypeError, ValueError)):
        SampleScore(tubelet_id="t", value=embeddings, method="m", model="v", out_of_sample=True)
    assert not hasattr(embeddings, "tolist")
    assert repr(embeddings) == "IdentityEmbeddings(2 faces)"


def test_distances_are_those_of_unit_vectors():
    embeddings = make_embeddings(0, 60, 180)
    np.testing.assert_allclose(embeddings.compare(embeddings)[0], [0, 1, 2], atol=1e-3)
    assert len(embeddings.take(np.array([True, False, True]))) == 2
    with pytest.raises(InvalidField, match="finite vectors of length 1"):
        IdentityEmbeddings(np.array([[1.0, 1.0]]))


def test_faces_that_are_near_are_one_group_numbered_as_they_appear():
    embeddings = make_embeddings(90, 0, 93, 5, 200)
    assert group_faces(embeddings, farthest=0.3).tolist() == [0, 1, 0, 1, 2]
    assert group_faces(embeddings, farthest=2.0).tolist() == [0] * 5
    assert group_faces(make_embeddings(1), farthest=0.3).tolist() == [0]
    with pytest.raises(InvalidField, match="farthest"):
        group_faces(embeddings, farthest=3)


def test_who_is_not_matched_gave_no_consent():
    enrolled = make_embeddings(0, 90)
    assert match_consent(make_embeddings(4, 88, 200), enrolled, farthest=0.3).tolist() == [0, 1, -1]
    assert match_consent(make_embeddings(4), enrolled.take(np.zeros(2, bool)), farthest=0.3).tolist() == [-1]
