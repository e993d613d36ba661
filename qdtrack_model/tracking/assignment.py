"""Which pairs of tracks and detections belong together, at the least cost of all (NumPy and SciPy)."""

from __future__ import annotations

import numpy as np

from qdtrack_model.structures import Array


def assign(costs: Array, limit: float) -> tuple[Array, Array]:
    """The pairs that make the sum of ``limit - cost`` greatest, each row and column in one at most.

    No pair costs ``limit`` or more. This is not the cheapest complete assignment without its expensive pairs: that one
    takes expensive pairs into account which are never made.

    Args:
        costs: (N, M), infinite where a pair is out of the question.
        limit: above 0.

    Returns:
        Rows and columns of the pairs, (P,) each.
    """
    from scipy.optimize import linear_sum_assignment  # not above: most trackers do without, and need not wait for it

    gains = np.minimum(costs - limit, 0.0)
    rows, columns = linear_sum_assignment(gains)
    made = gains[rows, columns] < 0
    return rows[made], columns[made]
