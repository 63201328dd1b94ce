"""The networks as they run: the localisers by OpenVINO, Dense V-Net by our own kernel, and the files they come from."""
