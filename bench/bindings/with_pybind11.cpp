// connected_components bound with pybind11: what nanobind checks by type, extents and layout, is checked by hand.
#include "components.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;
using namespace py::literals;

template <class T>
using Volume = py::array_t<T, py::array::c_style>;

template <class T>
void require_three_axes(const Volume<T>& array) {
    if (array.ndim() != 3)
        throw py::type_error("expected an array of three axes");
}

std::int64_t connected_components(const Volume<std::uint8_t>& labels, Volume<std::uint32_t>& out, int connectivity,
                                  int threads) {
    require_three_axes(labels);
    require_three_axes(out);
    const whs::View3<const std::uint8_t> in{labels.data(), labels.shape(0), labels.shape(1), labels.shape(2)};
    const whs::View3<std::uint32_t> result{out.mutable_data(), out.shape(0), out.shape(1), out.shape(2)};
    const py::gil_scoped_release released;
    return whs::connected_components(in, result, connectivity, threads);
}

PYBIND11_MODULE(with_pybind11, m) {
    m.def("connected_components", &connected_components, "labels"_a.noconvert(), "out"_a.noconvert(),
          "connectivity"_a = 26, py::kw_only(), "threads"_a = 1);
}
