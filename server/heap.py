"""The daemon's memory: how much it holds, and that what is freed goes back to the system.

glibc gives every thread a heap of its own, up to eight a core, and keeps what was freed in each of them. A
daemon whose calls come and go in many threads grows by that alone. Other systems' allocators are left as
they are.
"""

import ctypes
import sys
from collections.abc import Callable

import psutil

MAX_HEAPS = 2
_ARENA_MAX = -8  # of glibc's mallopt


def bound() -> bool:
    """Few heaps for all threads that start from now on; False where the allocator is not glibc's."""
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and mallopt(_ARENA_MAX, MAX_HEAPS) == 1


def give_back() -> None:
    """Hands what is free in all heaps back to the system; takes a few milliseconds."""
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def held_bytes() -> int:
    """Memory this process holds now."""
    return int(psutil.Process().memory_info().rss)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None on other systems and with other C libraries."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (only glibc has it)
        found: Callable[..., int] = getattr(library, name)
    except (OSError, AttributeError):
        return None
    return found
