// Robust fit of a polynomial and search of its minimum. See polynomial.cpp for how.
#pragma once

#include <span>

namespace whs {

struct Minimum {
    double position;  // where the polynomial is lowest in [low, high], end points included
    double value;     // the polynomial there
    double residual;  // root mean square of the weighted residuals
    double curvature; // second derivative of the polynomial there
};

Minimum fit_minimum(std::span<const double> positions, std::span<const double> distances, int degree, double low,
                    double high);

} // namespace whs
