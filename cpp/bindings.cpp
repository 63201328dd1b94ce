// The binding: arrays become views, the GIL is released around the kernel, results go back. No logic.
//
// Volumes and outputs are never converted: an array of another dtype, not C-contiguous, or read-only where it is
// written is refused with a TypeError. What is wrong in meaning is a std::invalid_argument in the kernel, a ValueError
// in Python. Releasing the GIL is safe because the kernels touch only the memory of their arguments, which the caller
// holds alive.
#include "components.hpp"
#include "dense_vnet.hpp"
#include "depths.hpp"
#include "growing.hpp"
#include "margins.hpp"
#include "paths.hpp"
#include "polynomial.hpp"
#include "resample.hpp"
#include "sampling.hpp"
#include "statistics.hpp"
#include "thinning.hpp"
#include "upsample.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <tuple>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
using Volume = nb::ndarray<T, nb::numpy, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
template <class T>
using Vector = nb::ndarray<const T, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const double, nb::numpy, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Points = nb::ndarray<const double, nb::numpy, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Rules = nb::ndarray<const std::int64_t, nb::numpy, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Limits = nb::ndarray<const std::int16_t, nb::numpy, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const double, nb::numpy, nb::shape<3, 4>, nb::c_contig, nb::device::cpu>;
template <class T>
using Logits = nb::ndarray<T, nb::numpy, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Kernels = nb::ndarray<const std::int8_t, nb::numpy, nb::ndim<5>, nb::c_contig, nb::device::cpu>;
using Layer = std::tuple<Kernels, std::vector<float>, std::vector<float>, std::uint8_t>;
using Ranges = std::array<std::array<std::int64_t, 2>, 3>;
using NoGil = nb::gil_scoped_release;

template <class T>
whs::View3<T> view(const Volume<T>& array) {
    return {array.data(), static_cast<std::int64_t>(array.shape(0)), static_cast<std::int64_t>(array.shape(1)),
            static_cast<std::int64_t>(array.shape(2))};
}

template <class T>
whs::View4<T> view(const Logits<T>& array) {
    return {array.data(), static_cast<std::int64_t>(array.shape(0)), static_cast<std::int64_t>(array.shape(1)),
            static_cast<std::int64_t>(array.shape(2)), static_cast<std::int64_t>(array.shape(3))};
}

template <class T>
std::span<const T> span(const Vector<T>& array) {
    return {array.data(), array.shape(0)};
}

// A small result as a NumPy array that owns the vector's memory.
template <class T, std::size_t N>
auto numpy(std::vector<T> values, const std::size_t (&shape)[N]) {
    auto owned = std::make_unique<std::vector<T>>(std::move(values));
    T* data = owned->data();
    nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    owned.release();
    return nb::ndarray<nb::numpy, T, nb::ndim<N>, nb::c_contig>(data, N, shape, owner);
}

void resample_linear(Volume<const std::int16_t> source, Volume<std::int16_t> out, Matrix out_to_source,
                     whs::Index3 samples, int fill, std::int64_t first_slice, int threads) {
    const NoGil released;
    whs::resample_linear(view(source), view(out), {whs::make_affine(out_to_source.data()), samples, first_slice, fill},
                         threads);
}

void resample_window(Volume<const std::int16_t> source, Volume<std::uint8_t> out, Matrix out_to_source,
                     whs::Index3 samples, double low, double high, int fill, std::int64_t first_slice, int threads) {
    const NoGil released;
    whs::resample_window(view(source), view(out), {whs::make_affine(out_to_source.data()), samples, first_slice, fill},
                         low, high, threads);
}

void resample_nearest(Volume<const std::uint8_t> source, Volume<std::uint8_t> out, Matrix out_to_source,
                      std::uint8_t fill, const std::array<double, 3>& beyond, int threads) {
    const NoGil released;
    whs::resample_nearest(view(source), view(out), whs::make_affine(out_to_source.data()), fill, beyond, threads);
}

auto sample_linear(Volume<const float> source, Points points, Matrix to_source) {
    std::vector<float> values(points.shape(0));
    {
        const NoGil released;
        whs::sample_linear(view(source), {points.data(), points.size()}, whs::make_affine(to_source.data()),
                           values.data());
    }
    return numpy(std::move(values), {points.shape(0)});
}

auto sample_nearest(Volume<const std::uint8_t> source, Points points, Matrix to_source,
                    std::optional<std::uint8_t> fill) {
    std::vector<std::uint8_t> values(points.shape(0));
    {
        const NoGil released;
        whs::sample_nearest(view(source), {points.data(), points.size()}, whs::make_affine(to_source.data()), fill,
                            values.data());
    }
    return numpy(std::move(values), {points.shape(0)});
}

void smooth(Volume<const std::int16_t> source, Volume<float> out, int threads) {
    const NoGil released;
    whs::smooth(view(source), view(out), threads);
}

auto cheapest_cycle(Rows cost, Vector<double> bend) {
    std::vector<std::int64_t> path(cost.shape(0));
    {
        const NoGil released;
        whs::cheapest_cycle({cost.data(), cost.size()}, static_cast<std::int64_t>(cost.shape(0)),
                            static_cast<std::int64_t>(cost.shape(1)), span(bend), path.data());
    }
    return numpy(std::move(path), {cost.shape(0)});
}

void cheapest_ways(Volume<const double> cost, const whs::Index3& start, Volume<double> total,
                   Volume<std::int64_t> before) {
    const NoGil released;
    whs::cheapest_ways(view(cost), start, view(total), view(before));
}

void squared_depths(Volume<const std::uint8_t> mask, Volume<std::int32_t> out) {
    const NoGil released;
    whs::squared_depths(view(mask), view(out));
}

auto fit_minimum(Vector<double> positions, Vector<double> distances, int degree, double low, double high) {
    const whs::Minimum minimum = whs::fit_minimum(span(positions), span(distances), degree, low, high);
    return std::tuple(minimum.position, minimum.value, minimum.residual, minimum.curvature);
}

void upsample_argmax(Logits<const std::int8_t> logits, Volume<std::uint8_t> out, Matrix out_to_region, int threads) {
    const NoGil released;
    whs::upsample_argmax(view(logits), view(out), whs::make_affine(out_to_region.data()), threads);
}

whs::Box box_of(const Ranges& ranges) {
    const auto& [planes, rows, columns] = ranges;
    return {{planes[0], planes[1]}, {rows[0], rows[1]}, {columns[0], columns[1]}};
}

auto count_margins(Logits<const std::int8_t> logits, const Ranges& wanted, int threads) {
    std::vector<std::int64_t> counts;
    {
        const NoGil released;
        counts = whs::count_margins(view(logits), box_of(wanted), threads);
    }
    return numpy(std::move(counts), {logits.shape(3), logits.shape(3), std::size_t{whs::kMargins}});
}

std::int64_t connected_components(Volume<const std::uint8_t> labels, Volume<std::uint32_t> out, int connectivity,
                                  int threads) {
    const NoGil released;
    return whs::connected_components(view(labels), view(out), connectivity, threads);
}

std::int64_t keep_parts(Volume<std::uint8_t> labels, Rules rules, int threads) {
    std::vector<whs::PartRule> of_labels;
    for (std::size_t label = 0; label < rules.shape(0); ++label)
        of_labels.push_back({rules(label, 0), rules(label, 1), rules(label, 2)});
    const NoGil released;
    return whs::keep_parts(view(labels), of_labels, threads);
}

std::int64_t keep_group(Volume<std::uint8_t> labels, const std::vector<std::int64_t>& least_voxels, int threads) {
    const NoGil released;
    return whs::keep_group(view(labels), least_voxels, threads);
}

std::int64_t fill_holes(Volume<std::uint8_t> labels, int label, int connectivity, int threads) {
    const NoGil released;
    return whs::fill_holes(view(labels), label, connectivity, threads);
}

std::int64_t remove_thin(Volume<std::uint8_t> labels, int label, const Ranges& box, const whs::Index3& reach,
                         const whs::Index3& keep, int threads) {
    const NoGil released;
    return whs::remove_thin(view(labels), label, box_of(box), reach, keep, threads);
}

std::int64_t grow_labels(Volume<std::uint8_t> labels, Volume<const std::int16_t> hu, Limits limits,
                         const whs::Index3& steps, bool below, int threads) {
    const NoGil released;
    return whs::grow_labels(view(labels), view(hu),
                            {{limits.data(), limits.size()}, static_cast<std::int64_t>(limits.shape(0)), below}, steps,
                            threads);
}

auto label_statistics(Volume<const std::uint8_t> labels, std::int64_t label_count, int threads) {
    whs::LabelStatistics result;
    {
        const NoGil released;
        result = whs::label_statistics(view(labels), label_count, threads);
    }
    const std::size_t k = result.voxels.size();
    return std::tuple(numpy(std::move(result.voxels), {k}), numpy(std::move(result.lowest), {k, 3}),
                      numpy(std::move(result.highest), {k, 3}));
}

whs::QuantisedLayer view(const Layer& layer) {
    const auto& [weights, scale, bias, zero] = layer;
    const auto extent = [&weights = weights](std::size_t axis) {
        return static_cast<std::int64_t>(weights.shape(axis));
    };
    return {weights.data(), extent(0), extent(1), {extent(2), extent(3), extent(4)}, scale, bias, zero};
}

std::vector<whs::QuantisedLayer> views(const std::vector<Layer>& layers) {
    std::vector<whs::QuantisedLayer> all;
    for (const Layer& layer : layers)
        all.push_back(view(layer));
    return all;
}

void make_dense_vnet(whs::DenseVNet* place, std::tuple<float, float, std::uint8_t> pool, const Layer& entry,
                     const std::vector<std::vector<Layer>>& stacks, const std::vector<Layer>& skips,
                     const std::vector<Layer>& downs, const Layer& last, const std::string& instructions) {
    whs::QuantisedDenseVNet network{{std::get<0>(pool), std::get<1>(pool), std::get<2>(pool)},
                                    view(entry),
                                    {},
                                    views(skips),
                                    views(downs),
                                    view(last)};
    for (const std::vector<Layer>& stack : stacks)
        network.stacks.push_back(views(stack));
    const whs::Instructions chosen = whs::instructions_named(instructions);
    const NoGil released;
    new (place) whs::DenseVNet(network, chosen);
}

auto run_dense_vnet(const whs::DenseVNet& network, Volume<const std::uint8_t> region, Logits<std::int8_t> logits,
                    const std::optional<Ranges>& wanted, std::int64_t planes_per_step, int threads,
                    const nb::object& progress) {
    const whs::View4<std::int8_t> made = view(logits);
    const whs::Box box = wanted ? box_of(*wanted) : whs::Box{{0, made.nz}, {0, made.ny}, {0, made.nx}};
    const auto watch = [&progress](double share) {
        const nb::gil_scoped_acquire held;
        if (PyErr_CheckSignals() != 0) // Ctrl-C, while the kernel goes on
            throw nb::python_error();
        if (!progress.is_none())
            progress(share);
    };
    std::vector<whs::StageTime> times;
    {
        const NoGil released;
        times = network.run(view(region), made, box, planes_per_step, threads, watch);
    }
    std::vector<std::tuple<std::string, double>> named;
    for (whs::StageTime& time : times)
        named.emplace_back(std::move(time.name), time.seconds);
    return named;
}

} // namespace

NB_MODULE(_kernels, m) {
    // A program may end while it holds an engine, in a global variable for instance: nobody needs to be told.
    nb::set_leak_warnings(false);
    m.doc() = "Kernels over C-contiguous arrays indexed z, y, x. They know voxel indices only, never millimetres.";

    m.def("resample_linear", &resample_linear, "source"_a.noconvert(), "out"_a.noconvert(), "out_to_source"_a,
          "samples"_a = whs::Index3{1, 1, 1}, "fill"_a = -1024, "first_slice"_a = 0, nb::kw_only(), "threads"_a = 1,
          R"(Resample HU into another grid, trilinear, rounded half up.

out_to_source: 3 x 4, continuous source index (z, y, x) = M[:, :3] @ out index + M[:, 3].
samples: (z, y, x) equally spaced samples averaged within one output voxel, against aliasing.
fill: HU of a sample more than half a voxel outside the source; nearer, the edge value holds.
first_slice: index of out[0] in the whole output grid; slabs equal the whole bit for bit.
Raises ValueError for samples outside 1 to 64, a fill that is no int16, a map that is not finite, threads below 1.)");

    m.def("resample_window", &resample_window, "source"_a.noconvert(), "out"_a.noconvert(), "out_to_source"_a,
          "samples"_a = whs::Index3{1, 1, 1}, "low"_a = -300.0, "high"_a = 800.0, "fill"_a = -1024, "first_slice"_a = 0,
          nb::kw_only(), "threads"_a = 1,
          R"(Resample HU as resample_linear does and map low..high onto 0..255, clamped and rounded half up.

The HU are not rounded first. fill is in HU and is windowed too. Raises ValueError also unless low < high.)");

    m.def(
        "resample_nearest", &resample_nearest, "source"_a.noconvert(), "out"_a.noconvert(), "out_to_source"_a,
        "fill"_a = 0, "beyond"_a = std::array{0.0, 0.0, 0.0}, nb::kw_only(), "threads"_a = 1,
        R"(Resample labels into another grid: the nearest voxel, half-way to the higher index, fill outside the source.

beyond: voxels (z, y, x) by which the source goes on as at its edge. Raises ValueError for one below 0.)");

    m.def("sample_linear", &sample_linear, "source"_a.noconvert(), "points"_a, "to_source"_a,
          R"(Values of a volume at points, float32 [n], trilinear; beyond the volume its edge holds.

points: float64 [n, 3]. to_source: 3 x 4, continuous source index (z, y, x) = M[:, :3] @ point + M[:, 3]. Raises
ValueError for a source without voxels and a map that is not finite.)");

    m.def("sample_nearest", &sample_nearest, "source"_a.noconvert(), "points"_a, "to_source"_a, "fill"_a = nb::none(),
          R"(Labels of a volume at points, uint8 [n]: the nearest voxel's, half-way the even index's.

fill: the label beyond the volume, None for that of its edge. Else as sample_linear.)");

    m.def(
        "smooth", &smooth, "source"_a.noconvert(), "out"_a.noconvert(), nb::kw_only(), "threads"_a = 1,
        R"(Mean of each voxel and its neighbours, weighed 1 : 2 : 1 along each axis, exactly; the edge of an axis stays.

Raises ValueError where the shapes differ.)");

    m.def("cheapest_cycle", &cheapest_cycle, "cost"_a.noconvert(), "bend"_a,
          R"(The place in each row of cost, float64 [rows, places], of the cheapest way around: int64 [rows].

bend: what it costs to go -m to m places on from a row to the next, float64 [2 m + 1]; none goes farther. Raises
ValueError for fewer than three rows, no place, an even number of bends, and values that are not finite.)");

    m.def("cheapest_ways", &cheapest_ways, "cost"_a.noconvert(), "start"_a, "total"_a.noconvert(),
          "before"_a.noconvert(),
          R"(Write what the cheapest way from start (z, y, x) to each voxel costs, and the voxel before it on that way.

total is infinite and before -1 where no way leads; before is an index into the flat volume, start's its own. A step to
one of 26 neighbours costs the mean of both voxels times its length in voxels; infinite cost closes a voxel. Raises
ValueError where the shapes differ, for a start outside, and for a cost below 0.)");

    m.def(
        "squared_depths", &squared_depths, "mask"_a.noconvert(), "out"_a.noconvert(),
        R"(Square of the distance, in voxels, from each voxel that is not 0 to the nearest 0; 2^30 where there is none.

Raises ValueError where the shapes differ and for more than 16384 voxels along an axis.)");

    m.def("fit_minimum", &fit_minimum, "positions"_a, "distances"_a, "degree"_a, "low"_a, "high"_a,
          R"(Fit a polynomial robustly and return (position, value, residual, curvature) of its minimum in [low, high].

Iteratively reweighted least squares: Huber, then Tukey. residual is the weighted root mean square, curvature the
second derivative. Raises ValueError for fewer distinct positions than coefficients, values that are not finite,
low > high.)");

    m.def("upsample_argmax", &upsample_argmax, "logits"_a.noconvert(), "out"_a.noconvert(), "out_to_region"_a,
          nb::kw_only(), "threads"_a = 1,
          R"(Label every voxel with the largest of the trilinearly sampled half-resolution logits, exactly, in integers.

logits: int8 z, y, x, class. out_to_region: 3 x 4, index in out to voxel index x in the region, whose extents are twice
those of the logits. u = clamp((x + 0.5) / 2 - 0.5) with 8 fractional bits an axis; the lowest label wins a tie;
more than half a voxel outside the region is 0. Raises ValueError for no class or more than 255.)");

    m.def("count_margins", &count_margins, "logits"_a.noconvert(), nb::kw_only(), "wanted"_a, "threads"_a = 1,
          R"(Count voxels by their best label, the second and the margin between: int64 [class, class, 256].

logits: int8 z, y, x, class, 2 to 16 classes. wanted: first and last + 1 of the z, y and x that are counted. The lower
label comes first in a tie, with a margin of 0. Raises ValueError for other classes and a box outside the logits.)");

    m.def("instruction_sets", &whs::instruction_sets,
          "Names of the sets of instructions that this machine and this build have for DenseVNet, the fastest first.");

    nb::class_<whs::DenseVNet>(m, "DenseVNet", "Dense V-Net in integers, packed for one set of instructions.")
        .def("__init__", &make_dense_vnet, nb::kw_only(), "pool"_a, "entry"_a, "stacks"_a, "skips"_a, "downs"_a,
             "last"_a, "instructions"_a = "portable",
             R"(Pack the layers of a network.

A layer is (weights int8 [output, input, z, y, x], scale, bias, zero): the exact sum s of output o becomes
clamp(round_half_even(s * scale[o] + bias[o]), 0, 255), of the last layer less 128; zero is the integer of its results
that stands for 0. pool is (scale, bias, zero) for the mean of 3 x 3 x 3 voxels. Raises ValueError for layers that do
not follow from one another and for instructions that this machine lacks.)")
        .def("__call__", &run_dense_vnet, "region"_a.noconvert(), "logits"_a.noconvert(), nb::kw_only(),
             "wanted"_a = nb::none(), "planes_per_step"_a = 2, "threads"_a = 1, "progress"_a = nb::none(),
             R"(Run over a region of uint8, streamed along z; return [(stage, seconds of all threads)].

logits: int8 z / 2, y / 2, x / 2, class; the region's extents are multiples of 8. wanted: first and last + 1 of the
logits' z, y and x that are to be made, None for all; the others are 0. progress is called, in the calling thread, with
the share of the work that is done; what it raises ends the work. The same bits for all planes_per_step, instructions
and threads. Raises ValueError for extents that do not fit and a box that does not lie within the logits.)");

    m.def("connected_components", &connected_components, "labels"_a.noconvert(), "out"_a.noconvert(),
          "connectivity"_a = 26, nb::kw_only(), "threads"_a = 1,
          R"(Number the components of equal non-zero labels from 1 in the order of their first voxels; return how many.

connectivity: 6, 18 or 26. Background is 0. Raises ValueError where the shapes differ.)");

    m.def("keep_parts", &keep_parts, "labels"_a.noconvert(), "rules"_a.noconvert(), nb::kw_only(), "threads"_a = 1,
          R"(Remove, in place, the components (26 neighbours) that the rules do not keep; return the voxels removed.

rules: int64 [labels, 3], for each label from 0 on (parts, least_voxels, attached_to). Its components that touch label
attached_to stay (0: none does), the largest others until `parts` stay, none below least_voxels; equal sizes stay together.
Labels with attached_to are judged after the others, which may not have it themselves. Raises ValueError for such a
rule and for a label without one.)");

    m.def("keep_group", &keep_group, "labels"_a.noconvert(), "least_voxels"_a, nb::kw_only(), "threads"_a = 1,
          R"(Keep, in place, of labels that hang together, those of the best group; return the voxels removed.

least_voxels: for each label from 0 on, how large a part must be to count; 0 for labels that take no part. Parts of the
others that touch, by 26 neighbours, make a group, which holds a label where one part of it is large enough. The best
holds the most labels, of as many the most voxels, and groups that are as good are best together. What the labels that it
holds have elsewhere is removed; where no group holds two labels, nothing is. Raises ValueError for a label without a
number.)");

    m.def(
        "fill_holes", &fill_holes, "labels"_a.noconvert(), "label"_a = 0, "connectivity"_a = 6, nb::kw_only(),
        "threads"_a = 1,
        R"(Fill, in place, background cavities that touch one label alone and not the border; return the voxels filled.

label: the label to fill; 0 for every label. connectivity: that of the cavities, 6, 18 or 26.)");

    m.def("remove_thin", &remove_thin, "labels"_a.noconvert(), "label"_a, "box"_a, "reach"_a, "keep"_a, nb::kw_only(),
          "threads"_a = 1,
          R"(Remove, in place, what of a label is thinner than 2 reach + 1 voxels; return the voxels removed.

box: first and last + 1 of the z, y and x that hold all of the label. Voxels stay that lie within `keep` voxels, along z,
y and x, of one around which all within `reach`, as far as they lie in the volume, have the label. Raises ValueError for a
label outside 1 to 255, a reach below 0 or above keep, and a box that does not lie within the volume.)");

    m.def(
        "grow_labels", &grow_labels, "labels"_a.noconvert(), "hu"_a.noconvert(), "limits"_a.noconvert(), "steps"_a,
        nb::kw_only(), "below"_a = false, "threads"_a = 1,
        R"(Give, in place, voxels the label of a neighbour where they are bright, or dark, enough; return the voxels changed.

hu: int16 like labels; the mean of a voxel, twice, and its six neighbours is judged. limits: int16 [n, n], what it must
exceed, or with `below` fall short of, for label [own] to become [other]; 32767 forbids it. steps: passes along z, y and
x. All voxels of a pass are judged by the labels before it; the label of most neighbours is taken, of as many the lowest.
Raises ValueError for labels of n or more, n above 32, steps below 0, and a label that both grows and becomes another.)");

    m.def("label_statistics", &label_statistics, "labels"_a.noconvert(), "label_count"_a, nb::kw_only(),
          "threads"_a = 1,
          R"(Return (voxels [k], lowest [k, 3], highest [k, 3]) for labels below k.

lowest and highest are inclusive voxel indices z, y, x, -1 for a label that is absent.
Raises ValueError for a label of label_count or more.)");
}
