"""Table 1 of Sharobeem et al. (doi 10.1007/s12265-021-10166-0), as far as tests compare with it."""

# Training, validation and test: patients with it, patients whose value is known, the p-value.
PAPER = {
    "sex": ((31, 4, 6), (55, 8, 8), 0.699),
    "diabetes": ((11, 2, 1), (55, 8, 8), 0.883),
    "atrial fibrillation": ((17, 2, 0), (55, 8, 8), 0.233),
    "previous PCI": ((4, 2, 2), (55, 8, 8), 0.107),
    "previous stroke": ((10, 0, 0), (55, 8, 8), 0.266),
    "significant CAD": ((22, 1, 2), (54, 8, 8), 0.298),  # printed as 40.7%, which is of 54
    "chronic pulmonary disease": ((12, 2, 1), (55, 8, 8), 1.000),
    "hypertension": ((44, 8, 6), (54, 8, 8), 0.411),  # the paper prints 0.52, which its own counts do not give
}
