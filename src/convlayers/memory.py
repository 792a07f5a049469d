"""Memory that a process keeps instead of giving it back to the system after every layer."""

from __future__ import annotations

import ctypes

#: glibc's names for what ``mallopt`` sets (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Makes the C allocator keep freed memory for the next tensor, for the rest of the process.

    torch takes each tensor on the CPU from the C allocator. glibc's gets a large one (above 32 MB always, above 128 KB
    at first) from the system, and gives it back as soon as the tensor dies. So each large output comes as new pages,
    which the system clears one by one as they are first written. A 1x1 convolution that writes 51 MB (16 pictures of
    56 x 56, 64 to 256 channels, two threads) met 12,500 page faults a call so, and none once memory was kept: 31 to 36
    ms against 12 to 18; torch's own operator 29 to 32 ms against 9 to 12. This holds for every operator, and a network
    gains where its activations are large.

    It costs memory: what the process once had at its peak stays with it, and other processes cannot have it. In
    glibc's terms it is ``M_MMAP_MAX = 0`` and an unlimited ``M_TRIM_THRESHOLD`` (man 3 mallopt). Call it before the
    first large tensor; those that exist are not moved.

    Returns:
        Whether it is in force. False where the C library is not glibc (macOS, Windows, Alpine): nothing has changed.
        An allocator that is preloaded in glibc's place (jemalloc, tcmalloc) is not affected; those keep memory anyway.

    Example:
        >>> isinstance(keep_memory(), bool)
        True
    """
    library = glibc()
    return library is not None and all([library.mallopt(_M_MMAP_MAX, 0), library.mallopt(_M_TRIM_THRESHOLD, -1)])


def glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc: others have a ``mallopt`` that means other things, or none."""
    try:
        library = ctypes.CDLL(None)
        found = hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt")
    except (OSError, TypeError):  # no such library; Windows has none without a name
        return None
    return library if found else None
