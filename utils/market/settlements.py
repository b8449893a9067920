"""When a funding settlement counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.rows import NS_PER_MINUTE, NS_PER_S

#: How far from a whole minute a stamp may lie and still be that minute: venues stamp some 20 ms late, ns.
JITTER = 2 * NS_PER_S


def nominal(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The times that settlements were due (ns UTC): a stamp within two seconds of a whole minute is that minute.

    Files and REST carry the time at which the venue wrote a settlement down, and pass through here. Streams name the
    time it is due (`nextFundingTime`), and need not.
    """
    nearest = (stamps + NS_PER_MINUTE // 2) // NS_PER_MINUTE * NS_PER_MINUTE
    near: NDArray[Any] = np.where(np.abs(stamps - nearest) <= JITTER, nearest, stamps)
    return near
