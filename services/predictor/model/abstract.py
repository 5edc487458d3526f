"""What every forecaster promises; tests/conformance/test_forecasters.py holds all of them to it."""

from typing import Protocol

from services.predictor.core.lookback import Lookback
from services.predictor.core.targets import Floats


class Forecaster(Protocol):
    """Says how series go on.

    The promises: of N series and H horizons it gives (N, H) values; each is finite where the series' last value is, or
    the whole row is NaN where it has no word on that series; a constant series goes on as it is; a series times a
    number gives the forecast times that number; a series' forecast does not depend on which others are asked along;
    asking changes neither the forecaster nor the lookback; the same artifact loaded again says the same.
    """

    name: str
    #: Of its artifact, or of its code where it has learnt nothing.
    version: str

    def forecast(self, look: Lookback, targets: list[str]) -> Floats:
        """The values at each horizon, in the series' own unit; what lies out of a target's bounds is clipped later.

        Args:
            look: N series.
            targets: the name of what each of the N is.
        """
        ...
