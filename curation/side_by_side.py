"""Work on clips side by side in threads, for what computes outside of Python: decoding, scaling, encoding, hashing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from curation.engines.local import count_cores

__all__ = ["map_side_by_side"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_side_by_side(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Yield what `function` returns for each of the items, in their order, computed by as many threads as there are cores.

    What it raises is raised here, in the items' order; items that are not begun by then, or when the caller stops early, are left.

    Args:
        function: may be called from several threads at once.
        items: all are taken at the beginning.
    """
    pool = ThreadPoolExecutor(count_cores(), thread_name_prefix="beside")
    try:
        futures = [pool.submit(function, item) for item in items]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
