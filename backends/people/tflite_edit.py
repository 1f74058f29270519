"""Edits of TFLite files: metadata that MediaPipe Tasks wants to see, outputs that nobody here uses, inputs of another size.

The networks in MediaPipe's older wheels carry no metadata; the legacy graphs held the input normalisation instead. The flatbuffer
is written with the schema classes that MediaPipe ships; its own `MetadataWriter` needs native modules that the 1.x wheels lack.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import ModelError

__all__ = ["add_image_metadata", "keep_outputs", "make_dense", "resize_dense"]

_FIELD = "TFLITE_METADATA"
_PIXEL_MAX = 255.0


@cache
def _load_schema() -> Any:
    """Return the classes of TFLite's flatbuffer: one file of MediaPipe's, without the second that importing all of it takes.

    Raises:
        ModelError: if MediaPipe is not installed, or has no such file any more.
    """
    package = find_spec("mediapipe")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    for path in (Path(folder, "tasks", "metadata", "schema_py_generated.py") for folder in folders):
        spec = spec_from_file_location("curate_tflite_schema", path)
        if path.is_file() and spec is not None and spec.loader is not None:
            schema = module_from_spec(spec)
            spec.loader.exec_module(schema)
            return schema
    raise ModelError("network", "cannot be edited: MediaPipe's schema of TFLite files is not installed")


def add_image_metadata(network: bytes, *, name: str, mean: float, std: float) -> bytes:
    """Return the network with metadata saying that its one input is an RGB image normalised as ``(pixel - mean) / std``.

    Args:
        network: a ``.tflite`` file without metadata, input (1, H, W, 3) float32.
        name: what the model is called in its metadata.
        mean: subtracted from each 8-bit pixel value.
        std: what the difference is divided by.
    """
    import flatbuffers  # type: ignore[import-untyped]

    schema = _load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    payload = _pack_metadata(name, mean, std, n_outputs=len(model.subgraphs[0].outputs))
    entry = schema.MetadataT()
    entry.name = _FIELD
    entry.buffer = len(model.buffers)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(payload, np.uint8)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(network) + len(payload) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def keep_outputs(network: bytes, shapes: set[tuple[int, ...]]) -> bytes:
    """Return the network with only the outputs of the given shapes, and without the operators that only the others need.

    The pose landmark network spends 40 % of its time on a segmentation mask; without it the landmarks are the same, bit for bit.

    Raises:
        ModelError: if it has no output of one of the shapes.
    """
    import flatbuffers

    schema = _load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    graph = model.subgraphs[0]
    shape_of = {int(t): tuple(int(n) for n in graph.tensors[t].shape) for t in graph.outputs}
    missing = shapes - set(shape_of.values())
    if missing:
        raise ModelError("network", f"no output of shape {sorted(missing)[0]}; it has {sorted(shape_of.values())}")
    kept = [tensor for tensor, shape in shape_of.items() if shape in shapes]
    needed, operators = set(kept), []
    for operator in reversed(graph.operators):
        if needed & {int(t) for t in operator.outputs}:
            operators.append(operator)
            needed |= {int(t) for t in operator.inputs}
    graph.operators = operators[::-1]
    graph.outputs = np.asarray(kept, np.int32)
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@lru_cache(maxsize=3)
def make_dense(network: bytes) -> bytes:
    """Return a convolutional network whose outputs are the maps that it used to reshape and join; `resize_dense` changes its size.

    Args:
        network: a detector whose outputs are reshaped (and joined) maps, and whose other operators take maps of any size.
    """
    import flatbuffers

    schema = _load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    graph, builtin = model.subgraphs[0], schema.BuiltinOperator
    kept, source = [], {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code in (builtin.RESHAPE, builtin.CONCATENATION):
            inputs = operator.inputs[:1] if code == builtin.RESHAPE else operator.inputs
            source[int(operator.outputs[0])] = [int(t) for t in inputs]
        else:
            kept.append(operator)
    outputs = [int(t) for t in graph.outputs]
    while any(t in source for t in outputs):
        outputs = [s for t in outputs for s in source.get(t, [t])]
    graph.operators, graph.outputs = kept, np.asarray(outputs, np.int32)
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(network))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def resize_dense(dense: bytes, height: int, width: int) -> bytes:
    """Return what `make_dense` returned, for an image of another size.

    The numbers are changed where they stand in the file: it need not be written anew.

    Args:
        dense: for a square image.
        height: px, a multiple of the network's coarsest stride.
        width: px, likewise.
    """
    schema = _load_schema()
    resized = bytearray(dense)
    model = schema.Model.GetRootAs(resized, 0)
    graph = model.Subgraphs(0)
    shape = graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()
    side = int(shape[1])
    shape[1:3] = height, width
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    resizes = [o for o in operators if model.OperatorCodes(o.OpcodeIndex()).BuiltinCode() == schema.BuiltinOperator.RESIZE_BILINEAR]
    for buffer in {graph.Tensors(operator.Inputs(1)).Buffer() for operator in resizes}:
        size = model.Buffers(buffer).DataAsNumpy().view(np.int32)
        size[:] = size * (height, width) // side
    return bytes(resized)


def _pack_metadata(name: str, mean: float, std: float, *, n_outputs: int) -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as meta

    graph = meta.SubGraphMetadataT()
    graph.inputTensorMetadata = [_describe_image(meta, mean, std)]
    graph.outputTensorMetadata = [_describe_tensor(meta, f"output{i}") for i in range(n_outputs)]
    info = meta.ModelMetadataT()
    info.name = name
    info.subgraphMetadata = [graph]
    info.minParserVersion = "1.0.0"
    builder = flatbuffers.Builder(1024)
    builder.Finish(info.Pack(builder), b"M001")
    return bytes(builder.Output())


def _describe_image(meta: Any, mean: float, std: float) -> Any:
    tensor = _describe_tensor(meta, "image")
    tensor.content.contentPropertiesType = meta.ContentProperties.ImageProperties
    tensor.content.contentProperties = meta.ImagePropertiesT()
    tensor.content.contentProperties.colorSpace = meta.ColorSpaceType.RGB
    unit = meta.ProcessUnitT()
    unit.optionsType = meta.ProcessUnitOptions.NormalizationOptions
    unit.options = meta.NormalizationOptionsT()
    unit.options.mean = [mean]
    unit.options.std = [std]
    tensor.processUnits = [unit]
    tensor.stats = meta.StatsT()
    tensor.stats.min = [(0 - mean) / std]
    tensor.stats.max = [(_PIXEL_MAX - mean) / std]
    return tensor


def _describe_tensor(meta: Any, name: str) -> Any:
    tensor = meta.TensorMetadataT()
    tensor.name = name
    tensor.content = meta.ContentT()
    tensor.content.contentPropertiesType = meta.ContentProperties.FeatureProperties
    tensor.content.contentProperties = meta.FeaturePropertiesT()
    return tensor
