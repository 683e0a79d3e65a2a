"""The pitches at which a sound is heard beside its own, so that copies at another speed or pitch are found.

A copy that plays 4 % faster is 0.7 semitones higher: its notes fall into other classes than those of the original, and
few bits stay. Heard as if it were 0.6 semitones lower, it agrees as any copy does. Two such images serve for all
differences of up to 1.5 semitones, because each of two tracks may be the one that is heard otherwise:

    semitones that the second is higher     first is heard        second is heard
    0    (another tempo alone)              0.6 higher            0.6 higher
    0.6  (3.5 % faster)                     0.6 higher, as it is  as it is, 0.6 lower
    1.2  (7.2 % faster)                     0.6 higher            0.6 lower

What lies between is off by 0.3 semitones at most. Most music is tuned so that its notes lie on the borders of
Chromaprint's classes, where a small difference moves them to another one. 0.6 semitones away they lie near the middle
of a class: off by a quarter of a semitone, a copy keeps a kappa of 0.74 (median of 10 recordings), and 0.46 if both are
heard as they are."""

from __future__ import annotations

SEMITONES = 0.6

HIGHER, LOWER = 2 ** (SEMITONES / 12), 2 ** (-SEMITONES / 12)

PITCHES = (1.0, HIGHER, LOWER)
"""As of `Fingerprinter`: its own, then those of `store.pitches`. Raise PITCHES_VERSION with any change."""
