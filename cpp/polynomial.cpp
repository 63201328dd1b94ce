// Distance over slice position, fitted by a polynomial whose minimum marks the valve (Sharobeem et al. 2021).
//
// Some slices are misread by tens of millimetres, so the fit is robust: iteratively reweighted least squares, first
// with Huber's weights, which cannot be trapped, then with Tukey's biweight, which forgets gross outliers (Holland and
// Welsch 1977). The scale is the median absolute residual and may only shrink: else the weights may never settle.
// Positions are scaled to [-1, 1] and each step is solved by Householder reflections, so the powers stay well
// conditioned. The minimum is found among the end points and the roots of the derivative; the roots of a polynomial lie
// one each between the roots of its own derivative, so bisection finds them all.
#include "polynomial.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace whs {
namespace {

constexpr int kMostSteps = 50;
constexpr double kHuber = 1.345, kTukey = 4.685; // 95 % efficiency for normal residuals
constexpr double kLeastScale = 1e-3;             // in the unit of the distances: no network reads them finer

using Coefficients = std::vector<double>; // from the constant upwards

double evaluate(const Coefficients& p, double t) {
    double value = 0;
    for (std::size_t k = p.size(); k-- > 0;)
        value = value * t + p[k];
    return value;
}

Coefficients derivative(const Coefficients& p) {
    Coefficients d;
    for (std::size_t k = 1; k < p.size(); ++k)
        d.push_back(static_cast<double>(k) * p[k]);
    return d;
}

// Roots inside (low, high), in ascending order.
std::vector<double> roots(const Coefficients& p, double low, double high) {
    if (p.size() < 2)
        return {};
    std::vector<double> borders = roots(derivative(p), low, high);
    borders.insert(borders.begin(), low);
    borders.push_back(high);
    std::vector<double> found;
    for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
        double a = borders[i], b = borders[i + 1];
        const bool negative = evaluate(p, a) < 0;
        if (negative == (evaluate(p, b) < 0))
            continue;
        for (int step = 0; step < 200 && a < (a + b) / 2 && (a + b) / 2 < b; ++step)
            ((evaluate(p, (a + b) / 2) < 0) == negative ? a : b) = (a + b) / 2;
        found.push_back(b);
    }
    return found;
}

// Weighted least squares by Householder reflections of the Vandermonde matrix.
Coefficients solve(const std::vector<double>& t, std::span<const double> y, const std::vector<double>& weights,
                   std::size_t terms) {
    const std::size_t n = t.size();
    std::vector<double> columns(n * (terms + 1)); // column by column, the right-hand side last
    for (std::size_t i = 0; i < n; ++i) {
        double power = std::sqrt(weights[i]);
        columns[terms * n + i] = power * y[i];
        for (std::size_t k = 0; k < terms; ++k, power *= t[i])
            columns[k * n + i] = power;
    }
    for (std::size_t k = 0; k < terms; ++k) {
        double* v = &columns[k * n];
        double norm = 0;
        for (std::size_t i = k; i < n; ++i)
            norm += v[i] * v[i];
        norm = std::sqrt(norm);
        if (norm == 0)
            return {};
        const double pivot = v[k] > 0 ? -norm : norm;
        v[k] -= pivot;
        double square = 0;
        for (std::size_t i = k; i < n; ++i)
            square += v[i] * v[i];
        for (std::size_t c = k + 1; c <= terms; ++c) {
            double* column = &columns[c * n];
            double dot = 0;
            for (std::size_t i = k; i < n; ++i)
                dot += v[i] * column[i];
            for (std::size_t i = k; i < n; ++i)
                column[i] -= 2 * dot / square * v[i];
        }
        v[k] = pivot; // the diagonal; below it v stays, and is not read again
    }
    Coefficients p(terms);
    for (std::size_t k = terms; k-- > 0;) {
        double value = columns[terms * n + k];
        for (std::size_t c = k + 1; c < terms; ++c)
            value -= columns[c * n + k] * p[c];
        p[k] = value / columns[k * n + k];
    }
    return p;
}

// The standard deviation of normal residuals, from the median of their sizes. The smallest are left out, as many as the
// fit can bring to zero: with few points they would pull it to nothing.
double spread(std::vector<double> sizes, std::size_t terms) {
    std::sort(sizes.begin(), sizes.end());
    sizes.erase(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(terms) - 1);
    const std::size_t half = sizes.size() / 2;
    const double median = sizes.size() % 2 ? sizes[half] : (sizes[half - 1] + sizes[half]) / 2;
    return std::max(kLeastScale, 1.4826 * median);
}

} // namespace

Minimum fit_minimum(std::span<const double> positions, std::span<const double> distances, int degree, double low,
                    double high) {
    auto fail = [](const std::string& text) { throw std::invalid_argument(text); };
    if (degree < 1 || degree > 12)
        fail("degree is " + std::to_string(degree) + ", must be 1 to 12");
    if (positions.size() != distances.size())
        fail("positions and distances differ in length: " + std::to_string(positions.size()) + " and " +
             std::to_string(distances.size()));
    auto finite = [](double v) { return std::isfinite(v); };
    if (!std::all_of(positions.begin(), positions.end(), finite) ||
        !std::all_of(distances.begin(), distances.end(), finite))
        fail("positions or distances hold a value that is not finite");
    if (!finite(low) || !finite(high) || low > high)
        fail("the bounds are " + std::to_string(low) + " and " + std::to_string(high) +
             ", must be finite with low <= high");
    const auto terms = static_cast<std::size_t>(degree) + 1;
    const std::set<double> distinct(positions.begin(), positions.end());
    if (distinct.size() < terms)
        fail("degree " + std::to_string(degree) + " needs " + std::to_string(terms) + " distinct positions, got " +
             std::to_string(distinct.size()));

    const double middle = (*distinct.begin() + *distinct.rbegin()) / 2,
                 half = (*distinct.rbegin() - *distinct.begin()) / 2;
    std::vector<double> t(positions.size());
    std::transform(positions.begin(), positions.end(), t.begin(), [&](double p) { return (p - middle) / half; });

    std::vector<double> weights(t.size(), 1.0), residuals(t.size());
    Coefficients polynomial;
    auto fit = [&] {
        polynomial = solve(t, distances, weights, terms);
        for (std::size_t i = 0; i < t.size(); ++i)
            residuals[i] = std::fabs(distances[i] - evaluate(polynomial, t[i]));
    };
    fit();
    double scale = std::numeric_limits<double>::infinity();
    for (const bool tukey : {false, true})
        for (int step = 0; step < kMostSteps; ++step) {
            scale = std::min(scale, spread(residuals, terms));
            std::vector<double> next(t.size());
            std::set<double> kept;
            for (std::size_t i = 0; i < t.size(); ++i) {
                const double r = residuals[i] / scale;
                if (tukey)
                    next[i] = r < kTukey ? (1 - r * r / (kTukey * kTukey)) * (1 - r * r / (kTukey * kTukey)) : 0;
                else
                    next[i] = r > kHuber ? kHuber / r : 1;
                if (next[i] > 0)
                    kept.insert(t[i]);
            }
            double change = 0;
            for (std::size_t i = 0; i < t.size(); ++i)
                change = std::max(change, std::fabs(next[i] - weights[i]));
            if (kept.size() < terms)
                break; // too few points would be left to hold the polynomial
            weights = next;
            fit();
            if (change < 1e-9)
                break;
        }

    const double a = (low - middle) / half, b = (high - middle) / half;
    double best = a;
    std::vector<double> candidates = roots(derivative(polynomial), a, b);
    candidates.push_back(b);
    for (const double candidate : candidates)
        if (evaluate(polynomial, candidate) < evaluate(polynomial, best))
            best = candidate;
    double square = 0, total = 0;
    for (std::size_t i = 0; i < t.size(); ++i) {
        square += weights[i] * residuals[i] * residuals[i];
        total += weights[i];
    }
    return {std::clamp(middle + half * best, low, high), evaluate(polynomial, best), std::sqrt(square / total),
            evaluate(derivative(derivative(polynomial)), best) / (half * half)};
}

} // namespace whs
