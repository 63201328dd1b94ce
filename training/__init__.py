"""Training, quantisation and export of the models. Torch lives here and nowhere else."""

import sys

# OpenVINO and NNCF fall back to silent stubs where this package cannot be imported: nothing leaves the machine.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
