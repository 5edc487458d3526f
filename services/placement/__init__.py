"""Placement: where a workload should run, and why there."""

import os

# The matrices are small: threads of a BLAS only wait for each other. Here, since it must stand before numpy loads.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
