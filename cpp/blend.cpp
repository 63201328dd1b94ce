#include "blend.hpp"

#include <algorithm>
#include <utility>

namespace whs {

using Source = View3<const std::int16_t>;

Blend make_blend(double scale, double shift, std::int64_t source_n, std::int64_t n, std::int64_t first_index,
                 std::int64_t samples) {
    Blend blend;
    blend.source_n = source_n;
    blend.n = n;
    std::vector<std::vector<double>> weights(static_cast<std::size_t>(n));
    std::vector<char> used(static_cast<std::size_t>(source_n));
    for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t low = source_n, covered = 0;
        std::vector<double>& w = weights[static_cast<std::size_t>(i)];
        std::vector<std::pair<std::int64_t, double>> parts;
        for (std::int64_t k = 0; k < samples; ++k) {
            const double c = scale * (static_cast<double>(first_index + i) + sample_offset(k, samples)) + shift;
            if (!whs::inside(c, source_n))
                continue;
            ++covered;
            const double settled = settle(c, source_n);
            const auto lower = static_cast<std::int64_t>(settled);
            const double f = settled - static_cast<double>(lower);
            parts.emplace_back(lower, 1 - f);
            if (f > 0)
                parts.emplace_back(lower + 1, f);
            low = std::min(low, lower);
        }
        for (const auto& [index, part] : parts) {
            const auto tap = static_cast<std::size_t>(index - low);
            w.resize(std::max(w.size(), tap + 1));
            w[tap] += part;
            used[static_cast<std::size_t>(index)] = 1;
        }
        blend.first.push_back(parts.empty() ? 0 : low);
        blend.inside.push_back(static_cast<float>(static_cast<double>(covered) / static_cast<double>(samples)));
        blend.taps = std::max(blend.taps, static_cast<std::int64_t>(w.size()));
    }
    blend.weight.assign(static_cast<std::size_t>(blend.taps * n), 0.0f);
    for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t& start = blend.first[static_cast<std::size_t>(i)];
        const std::int64_t moved = std::max<std::int64_t>(0, start + blend.taps - source_n); // all taps stay inside
        start -= moved;
        const std::vector<double>& w = weights[static_cast<std::size_t>(i)];
        for (std::size_t t = 0; t < w.size(); ++t)
            blend.weight[static_cast<std::size_t>((moved + static_cast<std::int64_t>(t)) * n + i)] =
                static_cast<float>(w[t] / static_cast<double>(samples));
    }
    for (std::int64_t index = 0; index < source_n; ++index)
        if (used[static_cast<std::size_t>(index)])
            blend.needed.push_back(index);
    return blend;
}

void blend_across(const Source& source, const Axes& axes, const Blend& along_z, const Blend& along_y,
                  const Blend& along_x, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t last,
                  std::vector<std::vector<float>>& planes) {
    const Index3 stride = source.strides();
    for (std::int64_t k = first; k < last; ++k) {
        const std::int64_t y = along_y.needed[static_cast<std::size_t>(k)];
        for (const std::int64_t x : along_x.needed) {
            const std::int16_t* row = source.data + y * stride[axes[1]] + x * stride[axes[2]];
            for (std::int64_t iz = begin; iz < end; ++iz) {
                float sum = 0;
                for (std::int64_t t = 0; t < along_z.taps; ++t)
                    sum += along_z.tap(t, iz) * static_cast<float>(row[along_z.start(iz) + t]);
                planes[static_cast<std::size_t>(iz - begin)][static_cast<std::size_t>(y * along_x.source_n + x)] = sum;
            }
        }
    }
}

void blend_plane(const Source& source, const Axes& axes, const Blend& along_z, const Blend& along_y,
                 const Blend& along_x, std::int64_t iz, std::vector<float>& plane) {
    const Index3 stride = source.strides();
    const std::int64_t step_z = stride[axes[0]], step_x = stride[axes[2]];
    const std::int64_t width = along_x.source_n;
    const Blend& across = step_x == 1 ? along_y : along_x; // the rows of a plane; columns run along the source's rows
    const Blend& along = step_x == 1 ? along_x : along_y;
    if (across.needed.empty() || along.needed.empty())
        return;
    const std::int64_t step = stride[step_x == 1 ? axes[1] : axes[2]];
    const std::int64_t low = along.needed.front(), length = along.needed.back() + 1 - low;
    constexpr std::size_t kRows = 16; // a cache line of floats: rows are transposed in groups of so many
    std::vector<float> rows(step_x == 1 ? 0 : kRows * static_cast<std::size_t>(length));
    for (std::size_t group = 0; group < across.needed.size(); group += kRows) {
        const std::size_t group_end = std::min(across.needed.size(), group + kRows);
        for (std::size_t k = group; k < group_end; ++k) {
            const std::int64_t j = across.needed[k];
            float* sum =
                step_x == 1 ? plane.data() + j * width + low : &rows[(k - group) * static_cast<std::size_t>(length)];
            for (std::int64_t t = 0; t < along_z.taps; ++t)
                accumulate(sum, source.data + j * step + (along_z.start(iz) + t) * step_z + low, along_z.tap(t, iz),
                           length, t == 0);
        }
        for (std::int64_t i = 0; step_x != 1 && i < length; ++i)
            for (std::size_t k = group; k < group_end; ++k)
                plane[static_cast<std::size_t>((low + i) * width + across.needed[k])] =
                    rows[(k - group) * static_cast<std::size_t>(length) + static_cast<std::size_t>(i)];
    }
}

} // namespace whs
