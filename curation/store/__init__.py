"""Where the work is kept: the catalogue (a database) and the arrays (Parquet files)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.store.arrays import ArrayStore
    from curation.store.catalogue import Catalogue, TrackRow, TubeletContext
    from curation.store.labels import CurrentLabel

__all__ = ["ArrayStore", "Catalogue", "CurrentLabel", "TrackRow", "TubeletContext"]

_HOMES = {
    "ArrayStore": "arrays",
    "Catalogue": "catalogue",
    "CurrentLabel": "labels",
    "TrackRow": "catalogue",
    "TubeletContext": "catalogue",
}


def __getattr__(name: str) -> Any:
    """Import SQLAlchemy or pyarrow only when something that needs them is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
