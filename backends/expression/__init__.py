"""Networks of faces: expressions and attributes, fatigue and looking aside over time, and who is who.

Two registries, because they must not be mixed: what an expression model says may become a proposal; what an identity model says
only groups pictures and checks consent (`backends.expression.identity`).
"""

from __future__ import annotations

from backends.registry import Registry

__all__ = ["EXPRESSION_MODELS", "IDENTITY_MODELS", "TRUNKS"]

TRUNKS = Registry(
    "trunk",
    {
        "mobilenet": "backends.expression.trunks:MobileNetTrunk",
        "resnet": "backends.expression.trunks:ResNetTrunk",
        "shufflenet": "backends.expression.trunks:ShuffleNetTrunk",
    },
)

EXPRESSION_MODELS = Registry(
    "expression model",
    {
        "multi-task-mobilenet": "backends.expression.multitask:MobileNetMultiTask",
        "multi-task-resnet": "backends.expression.multitask:ResNetMultiTask",
        "multi-task-shufflenet": "backends.expression.multitask:ShuffleNetMultiTask",
    },
)
"""Name → class that keeps `backends.expression.base.ExpressionModel`."""

IDENTITY_MODELS = Registry("identity model", {"facenet": "backends.expression.facenet:FaceNet"})
"""Name → class that keeps `backends.expression.base.IdentityModel`."""
