"""Compares predicted label maps with reference ones, as Sharobeem et al. report it (doi 10.1007/s12265-021-10166-0)."""
