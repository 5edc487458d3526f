"""Memory that was used once goes back to the system."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: Blocks from this size on are the system's again when they are freed, and so is the heap's end beyond so much.
LARGE_BYTES, SPARE_BYTES = 2**20, 16 * 2**20


def give_back_memory() -> bool:
    """Tells glibc to return large blocks when they are freed; False where there is no glibc.

    By itself it takes the largest block that was ever freed, up to 32 MiB, for usual from then on: it cuts later ones
    out of its heap, where small ones that live longer come to lie between them, and hardly any of it is returned.

    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(set_option(_M_TRIM_THRESHOLD, SPARE_BYTES))
