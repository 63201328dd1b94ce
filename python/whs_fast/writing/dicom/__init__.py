"""Results as DICOM objects in the study of the scan. Needs the extra `dicom`."""
