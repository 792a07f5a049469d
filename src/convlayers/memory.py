"""Memory that a process keeps: that of freed tensors, and weights as the kernels read them."""

from __future__ import annotations

import ctypes

import torch

from convlayers.errors import ArgumentError, ArgumentTypeError
from convlayers.ops import library as _library  # noqa: F401  (loads the operators)

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


class keep_weights:
    """How much memory kept weights may take: from here on, or within a ``with`` block, in the entire process.

    A convolution packs or transforms its weights before it multiplies. Where no gradient is wanted for a weight (under
    ``torch.no_grad()``, or with ``requires_grad`` False) the result is kept for the next call, 256 MB in all unless
    this says otherwise. It is found again by the contents of the weight, which are read in full at every call: an
    update in place is never missed, whether torch made it or not, equal weights share their memory, and no weight is
    kept alive.
    Weights whose elements do not lie side by side in memory (a slice, say) are packed at every call.

    Where memory is full, what was not asked for in the last 1,024 convolutions makes room; without such, a new weight
    is not kept. A transformed 3x3 weight takes four times its own memory, a packed one as much as itself.

    Args:
        megabytes: of 2**20 bytes. 0 frees all that is kept, and keeps nothing.

    Raises:
        ValueError: for a negative number.
        TypeError: for what is no integer.

    Example:
        >>> import convlayers
        >>> layer, x = convlayers.Conv2d(64, 64, 3), torch.zeros(1, 64, 8, 8)
        >>> with torch.no_grad(), convlayers.keep_weights(0):
        ...     layer(x).shape
        torch.Size([1, 64, 6, 6])
    """

    def __init__(self, megabytes: int) -> None:
        if isinstance(megabytes, bool) or not isinstance(megabytes, int):
            raise ArgumentTypeError(f"megabytes must be an integer; received {megabytes!r}")
        if not 0 <= megabytes < 2**40:
            raise ArgumentError(f"megabytes must be at least 0 and less than 2**40; received {megabytes}")
        self._bytes = megabytes * 2**20
        self._before = torch.ops.convlayers.keep_weights(self._bytes)

    def __enter__(self) -> None:
        torch.ops.convlayers.keep_weights(self._bytes)

    def __exit__(self, *error: object) -> None:
        torch.ops.convlayers.keep_weights(self._before)
