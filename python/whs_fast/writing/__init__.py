"""From arrays to files: label maps, meshes, DICOM objects, and the folder that holds them whole or not at all."""
