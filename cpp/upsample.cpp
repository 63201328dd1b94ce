// Labels on the scan's own grid from half-resolution logits.
#include "upsample.hpp"

#include "parallel.hpp"

namespace whs {

void upsample_argmax(View4<const std::int16_t> logits, View3<std::uint8_t> out, const Affine& map, int threads) {
    if (logits.nc < 1 || logits.nc > 256)
        throw std::invalid_argument("logits hold " + std::to_string(logits.nc) + " classes, must be 1 to 256");
    const std::int64_t n[3] = {logits.nz, logits.ny, logits.nx};
    const bool empty = n[0] * n[1] * n[2] == 0;
    parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) {
            const std::int64_t iz = r / out.ny, iy = r % out.ny;
            std::uint8_t* row = out.row(iz, iy);
            for (std::int64_t ix = 0; ix < out.nx; ++ix) {
                std::int64_t i[3][2], w[3][2];
                bool in = !empty;
                for (int a = 0; a < 3 && in; ++a) {
                    const double c = map.at(a, static_cast<double>(iz), static_cast<double>(iy), static_cast<double>(ix));
                    in = inside(c, 2 * n[a]);
                    if (!in)
                        break;
                    const double u = std::fmin(std::fmax((c + 0.5) / 2 - 0.5, 0.0), static_cast<double>(n[a] - 1));
                    i[a][0] = static_cast<std::int64_t>(u);
                    i[a][1] = std::min(i[a][0] + 1, n[a] - 1);
                    w[a][1] = static_cast<std::int64_t>((u - static_cast<double>(i[a][0])) * 256 + 0.5);
                    w[a][0] = 256 - w[a][1];
                }
                row[ix] = 0;
                std::int64_t best = std::numeric_limits<std::int64_t>::min();
                for (std::int64_t c = 0; in && c < logits.nc; ++c) {
                    std::int64_t sum = 0;
                    for (int k = 0; k < 8; ++k)
                        sum += w[0][k >> 2] * w[1][k >> 1 & 1] * w[2][k & 1] *
                               logits[c].row(i[0][k >> 2], i[1][k >> 1 & 1])[i[2][k & 1]];
                    if (sum > best) {
                        best = sum;
                        row[ix] = static_cast<std::uint8_t>(c);
                    }
                }
            }
        }
    });
}

} // namespace whs
