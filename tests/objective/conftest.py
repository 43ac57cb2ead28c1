"""A gradient that shares no code with torch."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float64]


@pytest.fixture
def numeric_gradient() -> Callable[[Callable[[Array], float], Array], Array]:
    """Central differences of a float64 NumPy function, right to about 1e-8."""

    def gradient(function: Callable[[Array], float], point: Array) -> Array:
        step = 1e-5
        result = np.zeros_like(point)
        for index in np.ndindex(point.shape):
            ahead, behind = point.copy(), point.copy()
            ahead[index] += step
            behind[index] -= step
            result[index] = (function(ahead) - function(behind)) / (2 * step)
        return result

    return gradient
