// One pass over the logits. Counts are integers and are summed at the end, so the number of threads changes nothing.
#include "margins.hpp"

#include "parallel.hpp"

namespace whs {

std::vector<std::int64_t> count_margins(View4<const std::int8_t> logits, const Box& box, int threads) {
    const std::int64_t classes = logits.nc;
    if (classes < 2 || classes > 16)
        throw std::invalid_argument("logits have " + std::to_string(classes) + " classes, must be 2 to 16");
    const Index3 extent = logits.extent();
    const std::array<Range, 3> ranges{box.planes, box.rows, box.columns};
    for (std::size_t axis = 0; axis < 3; ++axis)
        if (ranges[axis].first < 0 || ranges[axis].first > ranges[axis].last || ranges[axis].last > extent[axis])
            throw std::invalid_argument("the box reaches from " + std::to_string(ranges[axis].first) + " to " +
                                        std::to_string(ranges[axis].last) + ", must lie within 0 to " +
                                        std::to_string(extent[axis]));
    require_threads(threads);

    const auto size = static_cast<std::size_t>(classes * classes * kMargins);
    std::vector<std::vector<std::int64_t>> partial(static_cast<std::size_t>(threads));
    parallel_chunks(
        box.planes.size() * box.rows.size(), 64, threads, [&](std::int64_t first, std::int64_t last, int worker) {
            std::vector<std::int64_t>& counts = partial[static_cast<std::size_t>(worker)];
            counts.resize(size);
            for (std::int64_t r = first; r < last; ++r) {
                const std::int64_t z = box.planes.first + r / box.rows.size(), y = box.rows.first + r % box.rows.size();
                const std::int8_t* values =
                    logits.data + ((z * logits.ny + y) * logits.nx + box.columns.first) * classes;
                for (std::int64_t x = 0; x < box.columns.size(); ++x, values += classes) {
                    // One integer orders by logit first and, where these tie, by the lower label.
                    std::int32_t best = -(1 << 20), second = best;
                    for (std::int64_t c = 0; c < classes; ++c) {
                        const auto key = static_cast<std::int32_t>(values[c] * 16 + 15 - c);
                        second = std::max(second, std::min(best, key));
                        best = std::max(best, key);
                    }
                    const std::int64_t margin = (best >> 4) - (second >> 4);
                    const std::int64_t labels = (15 - (best & 15)) * classes + 15 - (second & 15);
                    ++counts[static_cast<std::size_t>(labels * kMargins + margin)];
                }
            }
        });

    std::vector<std::int64_t> total(size);
    for (const std::vector<std::int64_t>& counts : partial)
        for (std::size_t i = 0; i < counts.size(); ++i)
            total[i] += counts[i];
    return total;
}

} // namespace whs
