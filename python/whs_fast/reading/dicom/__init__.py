"""From a DICOM folder or zip to the one series that is segmented: opening, headers, choice, phases, stacking."""
