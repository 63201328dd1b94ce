"""Tables of a cohort's patients: their random split, and their baseline characteristics.

After Table 1 of Sharobeem et al. (doi 10.1007/s12265-021-10166-0), which compares the patients of training, validation
and test.
"""
