"""Many things at once, such as files to read, in as many threads as the caller allows."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

From = TypeVar("From")
To = TypeVar("To")


def map_in_threads(function: Callable[[From], To], items: Iterable[From], threads: int) -> list[To]:
    """The function of every item, in their order; one thread is the caller's own.

    Where one call raises, or the program is interrupted, the calls that have not begun are dropped.
    """
    if threads == 1:
        return [function(item) for item in items]
    pool = ThreadPoolExecutor(threads)
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
