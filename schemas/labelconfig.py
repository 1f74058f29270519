"""Label Studio's labelling page, written from a taxonomy: boxes, skeletons with edges, one group of choices per axis and person."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from schemas.errors import InvalidField
from schemas.vocabulary import Axis, Taxonomy

__all__ = ["BOX", "IMAGE", "PERSON", "SKELETON", "VIDEO", "build_label_config", "build_video_config", "plan_hotkeys"]

IMAGE, VIDEO, BOX, SKELETON, PERSON = "image", "video", "box", "skeleton", "person"
"""Names of the object tags, of the two region tags, and of the one label that a box can have."""

_BOX_COLOUR, _SKELETON_COLOUR = "#3b6fb6", "#f28e2b"
_TOOL_KEYS = "pkbjnomhl"
_KEY_ROWS = ("qwerty", "asdfg", "zxcv", "1234567890")


def build_label_config(taxonomy: Taxonomy) -> str:
    """Return the XML of the page on which people in one picture are labelled.

    Boxes are `RectangleLabels` (one label, "person"), skeletons `VectorLabels`, axes `Choices` per region, shown when a box is
    selected. A choice stores the behaviour's id (its alias) and shows its name. Required axes must be chosen before submission.

    Raises:
        InvalidField: if an axis has the name of another tag of the page.
    """
    root = ET.Element("View", style="display:flex;flex-direction:column;gap:6px")
    ET.SubElement(root, "Image", name=IMAGE, value="$image", zoomControl="true", rotateControl="false", defaultZoom="fit")
    keys = plan_hotkeys(taxonomy)
    tools = ET.SubElement(root, "View", style="display:flex;gap:16px;align-items:center")
    boxes = ET.SubElement(
        tools, "RectangleLabels", name=BOX, toName=IMAGE, canRotate="false", strokeWidth="2", opacity="0.04", showInline="true"
    )
    ET.SubElement(boxes, "Label", value=PERSON, background=_BOX_COLOUR, hotkey=keys[BOX])
    bones = ET.SubElement(
        tools, "VectorLabels", name=SKELETON, toName=IMAGE, skeleton="true", strokeWidth="2", pointSize="small", opacity="0.9"
    )
    ET.SubElement(bones, "Label", value=SKELETON, background=_SKELETON_COLOUR, hotkey=keys[SKELETON])
    _add_axes(root, taxonomy, IMAGE, keys)
    return _to_text(root)


def build_video_config(taxonomy: Taxonomy, *, fps: float = 25.0) -> str:
    """Return the XML of the page on which people are followed through a video: box tracks and choices per track.

    Label Studio's community edition has no skeletons in video, so this page has none.

    Raises:
        InvalidField: if `fps` is not positive, or an axis has the name of another tag of the page.
    """
    if not fps > 0:
        raise InvalidField("fps", "a positive rate", fps)
    root = ET.Element("View", style="display:flex;flex-direction:column;gap:6px")
    ET.SubElement(root, "Video", name=VIDEO, value="$video", framerate=f"{fps:g}", timelineHeight="120")
    keys = plan_hotkeys(taxonomy)
    ET.SubElement(root, "VideoRectangle", name=BOX, toName=VIDEO)
    labels = ET.SubElement(root, "Labels", name="label", toName=VIDEO, showInline="true")
    ET.SubElement(labels, "Label", value=PERSON, background=_BOX_COLOUR, hotkey=keys[BOX])
    _add_axes(root, taxonomy, VIDEO, keys)
    return _to_text(root)


def plan_hotkeys(taxonomy: Taxonomy) -> dict[str, str]:
    """Return one key per behaviour ("axis/value") and per region tag, all different.

    Keys given by the taxonomy are kept; the others come row by row from the keyboard, one row per axis, while there are free ones.
    """
    taken = {b.hotkey.lower(): f"{a.id}/{b.id}" for a in taxonomy.axes for b in a.behaviours if b.hotkey}
    keys = {place: key for key, place in taken.items()}
    used = set(taken) | {"u"}  # u: Label Studio's own "unselect"
    for name in (BOX, SKELETON):
        keys[name] = next(k for k in _TOOL_KEYS + "".join(_KEY_ROWS) if k not in used)
        used.add(keys[name])
    rows = [axis for axis in taxonomy.axes if not any(b.hotkey for b in axis.behaviours)]
    for axis, free in _deal_rows(rows, used):
        for behaviour in axis.behaviours:
            if free:
                keys[f"{axis.id}/{behaviour.id}"] = free.pop(0)
    return keys


def _deal_rows(axes: list[Axis], used: set[str]) -> Iterator[tuple[Axis, list[str]]]:
    for number, axis in enumerate(axes):
        row = _KEY_ROWS[number] if number < len(_KEY_ROWS) else ""
        yield axis, [key for key in row if key not in used]


def _add_axes(root: ET.Element, taxonomy: Taxonomy, target: str, keys: dict[str, str]) -> None:
    shown_for = BOX if target == IMAGE else "label"
    for axis in taxonomy.axes:
        if axis.id in (IMAGE, VIDEO, BOX, SKELETON, "label"):
            raise InvalidField("taxonomy axis", "a name other than image, video, box, skeleton and label", axis.id)
        visible = {"visibleWhen": "region-selected", "whenTagName": shown_for}
        line = ET.SubElement(root, "View", {"style": "display:flex;gap:12px;align-items:baseline;margin-top:-14px", **visible})
        ET.SubElement(line, "Header", value=axis.name, size="6", style="min-width:90px;margin:0;font-size:14px")
        asked = {"name": axis.id, "toName": target, "perRegion": "true", "choice": "single-radio", "showInline": "true"}
        group = ET.SubElement(line, "Choices", asked | visible)
        if axis.required:
            group.set("required", "true")
            group.set("requiredMessage", f"Choose a value of “{axis.name}” for every person")
        for behaviour in axis.behaviours:
            choice = ET.SubElement(group, "Choice", value=behaviour.name, alias=behaviour.id, background=behaviour.colour)
            if behaviour.description:
                choice.set("hint", behaviour.description)
            key = keys.get(f"{axis.id}/{behaviour.id}")
            if key:
                choice.set("hotkey", key)


def _to_text(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")
