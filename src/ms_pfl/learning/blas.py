"""One thread for matrix products: the same bits everywhere, and no waiting for other cores."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  what is loaded later would not be limited

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have NumPy's matrix products use one thread; a decorator too.

    The number of threads changes the order of sums and so the last bits. Products of a few hundred
    rows are quicker with one: threads wait for each other on a machine that does other things too.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield
