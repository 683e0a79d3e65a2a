"""What the coarse pass of the cascade looks at. (What it lets pass is in `cascade`; what that loses is measured
there.)"""

from __future__ import annotations

LAG_STEP = 4
"""Items between coarse lags: none is further than 2 from a coarse one, and there a peak has lost a tenth. 8 halve the
cost, and the margins."""

ROWS = 24
"""Items of the shorter fingerprint that are compared at each lag: this to twice as many. 32 cost a third more, and find
no duplicate or excerpt more, but 4 of the 27 copies of other speed that score 0.2 to 0.45; 16 bring those to the
edge."""

BASE_OVERLAP, BASE_LAG = 0.25, 256
"""The average is taken over lags with this share of overlap, up to this lag at least: of fewer, the peak itself would
be a large part."""

BASE_STEP = 4
"""The average is that of the coarse lags divisible by this: neighbouring ones say nearly the same."""
