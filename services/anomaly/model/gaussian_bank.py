"""River's GaussianScorer over many series, with River's own scores."""

import numpy as np

from services.anomaly.model.bank import Floats, Micros, Rows
from services.anomaly.model.moment_banks import GaussianBank


class RiverGaussianBank(GaussianBank):
    """What `GaussianEach` gives, as columns: the share of the distribution that lies nearer to its middle.

    Such a score saturates far out; it is what stands in alerts beside other detectors' scores.
    """

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        scores = np.clip(self.river_score(rows, values), 0.0, 1.0)
        # River divides by the deviation; a constant series has none.
        is_constant = (rows["squares"] <= 0) & (rows["num"] >= self._min_samples)
        return np.where(is_constant, values != rows["mean"], scores)
