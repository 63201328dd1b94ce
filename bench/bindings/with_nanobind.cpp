// connected_components bound with nanobind, as in cpp/bindings.cpp.
#include "components.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace nb = nanobind;
using namespace nb::literals;

template <class T>
using Volume = nb::ndarray<T, nb::numpy, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <class T>
whs::View3<T> view(const Volume<T>& array) {
    return {array.data(), static_cast<std::int64_t>(array.shape(0)), static_cast<std::int64_t>(array.shape(1)),
            static_cast<std::int64_t>(array.shape(2))};
}

std::int64_t connected_components(Volume<const std::uint8_t> labels, Volume<std::uint32_t> out, int connectivity,
                                  int threads) {
    const nb::gil_scoped_release released;
    return whs::connected_components(view(labels), view(out), connectivity, threads);
}

NB_MODULE(with_nanobind, m) {
    m.def("connected_components", &connected_components, "labels"_a.noconvert(), "out"_a.noconvert(),
          "connectivity"_a = 26, nb::kw_only(), "threads"_a = 1);
}
