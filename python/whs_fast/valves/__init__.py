"""Valve planes and the aortic root, measured on labels and scan."""
