"""The steps of a run, from the valve to the measurements. Each knows volumes and kernels; none knows another."""
