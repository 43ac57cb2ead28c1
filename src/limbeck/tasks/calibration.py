"""Whether probabilities are as right as they are sure."""

from __future__ import annotations

import numpy as np


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal bins.

    Args:
        probabilities: [rows, classes].
        labels: Class indices [rows].
        bins: Of confidence, equally wide.

    Reference:
        Guo et al. On Calibration of Modern Neural Networks, 2017, equation 3.
        https://arxiv.org/abs/1706.04599
    """
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gap = 0.0
    for one in np.unique(place):
        here = place == one
        gap += float(here.mean()) * abs(float(right[here].mean()) - float(sure[here].mean()))
    return gap
