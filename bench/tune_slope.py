"""Whether what was measured of a time step can be true: how far samples lie apart, and a training step beside its
forward run."""

import statistics

# Samples of both runs are in microseconds, steps those that the longer one has more.
CALM = 0.1  # a spread up to which the first samples are enough
WIDE = 0.3  # beyond which a point tells nothing
MORE = 4  # times as many samples are taken at most
# A training step walks forward and back, and the way back has more to do: of 183 points that an H200 took, all but one
# lie between 1.64 and 4.14 times the forward run. That one, 1.13, would leave the way back less than a single hop.
LEAST_TRAINING = 1.2


def slope(short, long, steps):
    """Microseconds of a further step."""
    return (statistics.median(long) - statistics.median(short)) / steps


def spread(short, long):
    """How far apart the middle halves of the samples reach, of what the longer run takes more."""
    more = statistics.median(long) - statistics.median(short)
    if more <= 0:
        return float("inf")
    return sum(high - low for low, _, high in (statistics.quantiles(one, n=4) for one in (short, long))) / more


def plausible(forward, training):
    return training >= LEAST_TRAINING * forward
