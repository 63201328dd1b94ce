"""From files to arrays: scans in HU, label maps and segmentations, whatever format they are stored in."""
