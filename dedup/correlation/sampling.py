"""What the coarse pass of the cascade looks at. `cascade` has what it lets pass, and what that loses."""

from __future__ import annotations

LAG_STEP = 4
"""Items between coarse lags: no lag is more than 2 from a coarse one, where a peak has lost a tenth. 8 halve the cost,
and the margins."""

ROWS = 24
"""Fewest items of the shorter fingerprint that are compared at each lag; twice as many at most. 32 cost a third more
and find no further duplicate or excerpt, but 4 more of the 27 copies at another speed that score 0.2 to 0.45; 16 bring
those to the edge."""

BASE_OVERLAP, BASE_LAG = 0.25, 256
"""Overlap of the lags that count for the average, and the lag up to which they go at least: of fewer lags, the peak
itself would be a large part."""

BASE_STEP = 4
"""Divisor of the coarse lags that count for the average: neighbouring lags tell nearly the same."""
