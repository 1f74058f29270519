"""Small detector networks with known answers, made here."""

import io
import zipfile

import numpy as np


def make_object_network(folder, boxes_yxyx, *, labels=("person", "chair"), side=32):
    """Write an SSD ``.tflite`` that MediaPipe Tasks takes: whatever it sees, the boxes (N, 4) in [0, 1] of class 0, 1, …, sure 0.9.

    It is made as TensorFlow's object detection API makes its own: box codes and class scores, then TFLite_Detection_PostProcess.
    """
    import flatbuffers
    from flatbuffers import flexbuffers
    from mediapipe.tasks.metadata import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.description = 3, [graph], "boxes"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph.tensors, graph.operators = [], []

    def add_tensor(name, shape, values=None, kind=schema.TensorType.FLOAT32):
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, 0
        if values is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def add_operator(code, inputs, outputs, custom=None, options=None, options_type=0):
        kind = schema.OperatorCodeT()
        kind.builtinCode = code
        kind.deprecatedBuiltinCode = min(code, 127)
        kind.customCode, kind.version = ("TFLite_Detection_PostProcess", 1) if custom else (None, 1)
        model.operatorCodes.append(kind)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, inputs, outputs
        operator.builtinOptions, operator.builtinOptionsType = options, options_type
        if custom:
            operator.customOptions = np.frombuffer(custom, np.uint8)
        graph.operators.append(operator)

    n, k = len(boxes_yxyx), len(labels)
    boxes = np.asarray(boxes_yxyx, np.float32)
    anchors = np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]]).astype(np.float32)
    scores = np.zeros((1, n, k + 1), np.float32)
    scores[0, np.arange(n), 1 + np.arange(n) % k] = 0.9
    image = add_tensor("image", (1, side, side, 3))
    mean, nothing = add_tensor("mean", (1, 1, 1, 1)), add_tensor("nothing", (1, 1, 1, 1))
    axes = add_tensor("axes", (3,), np.array([1, 2, 3], np.int32), schema.TensorType.INT32)
    zero = add_tensor("zero", (1,), np.zeros(1, np.float32))
    still = add_tensor("still", (1, n, 4), np.zeros((1, n, 4), np.float32))
    flat = add_tensor("flat", (1, 1, 1))
    shape = add_tensor("shape", (3,), np.array([1, 1, 1], np.int32), schema.TensorType.INT32)
    codes, classes = add_tensor("codes", (1, n, 4)), add_tensor("scores", (1, n, k + 1), scores)
    places = add_tensor("anchors", (n, 4), anchors)
    outputs = [
        add_tensor(name, s) for name, s in (("locations", (1, n, 4)), ("categories", (1, n)), ("sure", (1, n)), ("number", (1,)))
    ]
    builtin, kinds = schema.BuiltinOperator, schema.BuiltinOptions
    keep = schema.ReducerOptionsT()
    keep.keepDims = True
    add_operator(builtin.MEAN, [image, axes], [mean], options=keep, options_type=kinds.ReducerOptions)
    add_operator(builtin.MUL, [mean, zero], [nothing], options=schema.MulOptionsT(), options_type=kinds.MulOptions)
    add_operator(builtin.RESHAPE, [nothing, shape], [flat], options=schema.ReshapeOptionsT(), options_type=kinds.ReshapeOptions)
    graph.operators[-1].builtinOptions.newShape = [1, 1, 1]
    add_operator(builtin.ADD, [still, flat], [codes], options=schema.AddOptionsT(), options_type=kinds.AddOptions)
    settings = {
        "max_detections": n, "max_classes_per_detection": 1, "detections_per_class": n, "use_regular_nms": False,
        "nms_score_threshold": 0.1, "nms_iou_threshold": 0.9, "num_classes": k,
        "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
    }  # fmt: skip
    add_operator(builtin.CUSTOM, [codes, classes, places], outputs, custom=bytes(flexbuffers.Dumps(settings)))
    graph.inputs, graph.outputs, graph.name = [image], outputs, "main"
    _describe(model, labels)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("labels.txt", (1980, 1, 1, 0, 0, 0)), "\n".join(labels))
    path = folder / "boxes.tflite"
    path.write_bytes(content + _shift(stream.getvalue(), len(content)))
    return path


def _shift(archive, offset):
    """Return a zip that stands behind `offset` other bytes."""
    stream = io.BytesIO(b"\0" * offset)
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(stream, "a") as target:
        for info in source.infolist():
            target.writestr(info, source.read(info))
    return stream.getvalue()[offset:]


def _describe(model, labels):
    """Add the metadata: input normalisation, and what the four outputs are."""
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as meta
    from mediapipe.tasks.metadata import schema_py_generated as schema

    from backends.people.tflite_edit import _describe_image, _describe_tensor

    graph, info = meta.SubGraphMetadataT(), meta.ModelMetadataT()
    graph.inputTensorMetadata = [_describe_image(meta, 127.5, 127.5)]
    graph.outputTensorMetadata = [
        _describe_tensor(meta, name) for name in ("location", "category", "score", "number of detections")
    ]
    location, category = graph.outputTensorMetadata[:2]
    location.content.contentPropertiesType = meta.ContentProperties.BoundingBoxProperties
    location.content.contentProperties = meta.BoundingBoxPropertiesT()
    location.content.contentProperties.index = [1, 0, 3, 2]
    location.content.contentProperties.type = meta.BoundingBoxType.BOUNDARIES
    location.content.contentProperties.coordinateType = meta.CoordinateType.RATIO
    for tensor in (location, category):
        tensor.content.range = meta.ValueRangeT()
        tensor.content.range.min = tensor.content.range.max = 2
    file = meta.AssociatedFileT()
    file.name, file.type = "labels.txt", meta.AssociatedFileType.TENSOR_VALUE_LABELS
    category.associatedFiles = [file]
    group = meta.TensorGroupT()
    group.name, group.tensorNames = "detection_result", ["location", "category", "score"]
    graph.outputTensorGroups = [group]
    info.name, info.subgraphMetadata, info.minParserVersion = "boxes", [graph], "1.2.0"
    builder = flatbuffers.Builder(1024)
    builder.Finish(info.Pack(builder), b"M001")
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(bytes(builder.Output()), np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [entry]
