"""`python -m services.placement.train.fit FOLDER`: fits what ships in fitted.json.

FOLDER is laid out like openb, with planetlab and azure_vm_noise beside it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.placement.train.lists import FITTED, beside, noise_sigmas, read_usage, shapes_of
from services.placement.train.physics import Floats


def fit(folder: Path) -> dict[str, Any]:
    """Spreads of noise by class; of each day of usage how much a machine varies and how slowly."""
    usage = {
        file.name.split("_")[1]: usage_parameters(shapes_of(read_usage(file))) for file in beside(folder, "planetlab")
    }
    sigmas = {test: round(sigma, 5) for test, sigma in noise_sigmas(beside(folder, "azure_vm_noise")).items()}
    return {"noise_sigmas": sigmas, "usage": usage}


def usage_parameters(shapes: Floats) -> dict[str, float | int]:
    """Of (V, S) shapes: mean and spread of the logarithm of the coefficient of variation, median autocorrelation."""
    steady = shapes[shapes.std(axis=1) > 0]
    variations = np.log(steady.std(axis=1))
    apart = steady - 1.0
    correlations = (apart[:, 1:] * apart[:, :-1]).mean(axis=1) / steady.var(axis=1)
    return {
        "machines": len(steady),
        "log_variation_mean": round(float(variations.mean()), 4),
        "log_variation_sigma": round(float(variations.std()), 4),
        "autocorrelation": round(float(np.median(correlations)), 4),
    }


if __name__ == "__main__":
    FITTED.write_text(json.dumps(fit(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
