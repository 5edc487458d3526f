"""What surprise is normal, from windows that training did not see."""

from collections.abc import Sequence

import msgspec
import numpy as np

from services.logbert.core.sequences import Calibration
from services.logbert.model.scorer import Scored

#: The part of the recording that the network learns from; the rest calibrates.
TRAIN_SHARE = 0.8
#: A word that training never saw is as surprising as one that comes once in 160,000 words.
UNSEEN_NATS = 12.0
#: The line: so many times the excess that one normal window in a hundred reaches, and at least three standard errors.
#: Not the highest one, which is a single window's luck: over two seeds that was 8.6 and 15.0, this 6.7 and 7.3.
LINE_QUANTILE, LINE_MARGIN, LOWEST_LINE = 0.99, 1.5, 3.0


def calibrate(scored: Sequence[Scored]) -> tuple[Calibration, dict[str, float]]:
    """What is normal, from windows that training did not see; and the excess's quantiles, for the record."""
    values = np.array([value for found in scored for value in found.surprises])
    rough = Calibration(round(float(values.mean()), 6), round(max(float(values.std()), 0.1), 6), 1.0, UNSEEN_NATS)
    excesses = np.array([rough.excess(found.surprises) for found in scored])
    line = round(max(LOWEST_LINE, LINE_MARGIN * float(np.quantile(excesses, LINE_QUANTILE))), 4)
    quantiles = {str(share): round(float(np.quantile(excesses, share)), 3) for share in (0.5, 0.9, 0.95, 0.99, 1.0)}
    return msgspec.structs.replace(rough, line=line), quantiles
