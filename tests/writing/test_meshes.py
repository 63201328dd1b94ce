"""Surfaces: closed, of the right size, where the labels are; trimesh reads the files and judges."""

import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from support.phantom import BALLS, VALVE_MM
from whs_fast.errors import OutputError
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid
from whs_fast.writing.meshes import Mesh, make_meshes, write_glb, write_meshes, write_stl

TILTED = Rotation.from_euler("zyx", (20, -15, 10), degrees=True).as_matrix()
DIRECTIONS = {
    "upright": np.eye(3),
    "oblique": TILTED,
    "left-handed": TILTED * (1.0, 1.0, -1.0),
    "sagittal": np.eye(3)[:, [1, 2, 0]],
}


def grid_around(shape, spacing_mm, direction, middle_mm=VALVE_MM):
    origin = np.asarray(middle_mm) - direction * spacing_mm @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    return Grid(shape, spacing_mm, tuple(origin.tolist()), tuple(direction.ravel().tolist()))


def draw_balls(grid):
    """The phantom's ten balls; the LV cavity lies inside the myocardium."""
    labels = np.zeros(grid.shape, np.uint8)
    for label, (place, radius) in BALLS.items():
        middle = np.linalg.solve(grid.affine[:3, :3], np.asarray(VALVE_MM) + place - grid.origin_mm)
        x, y, z = (
            ((np.arange(count) - here) * step) ** 2
            for count, here, step in zip(grid.shape[::-1], middle, grid.spacing_mm, strict=True)
        )
        labels[z[:, None, None] + y[:, None] + x < radius**2] = label
    return labels


def outer_faces(mask, grid):
    """Centres, in mm, of the faces between a structure and the rest."""
    (box,) = find_objects(mask.astype(np.uint8))
    padded, centres = np.pad(mask[box], 1).astype(np.int8), []
    for axis in range(3):
        change = np.argwhere(np.diff(padded, axis=axis)) + [part.start for part in box]
        centres.append(change - 1 + 0.5 * (np.arange(3) == axis))
    return np.concatenate(centres)[:, ::-1] @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def read_stl(path):
    return trimesh.load(path, file_type="stl")


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("spacing_mm", [(1.3, 1.3, 1.3), (1.6, 1.6, 3.0), (0.8, 2.0, 1.6)])
def test_balls_become_closed_surfaces_of_their_size_in_their_place(tmp_path, name, spacing_mm):
    shape = tuple(int(np.ceil(190 / step)) for step in spacing_mm[::-1])
    grid = grid_around(shape, spacing_mm, DIRECTIONS[name])
    labels = draw_balls(grid)
    meshes = make_meshes(labels, grid, threads=2)
    assert [mesh.structure for mesh in meshes] == list(STRUCTURES)
    for mesh in meshes:
        write_stl(tmp_path / "one.stl", mesh)
        surface = read_stl(tmp_path / "one.stl")
        assert surface.is_watertight and surface.is_winding_consistent
        counted_ml = np.count_nonzero(labels == mesh.structure.label) * grid.voxel_ml
        assert surface.volume / 1000 == pytest.approx(counted_ml, rel=0.03)
        assert mesh.volume_ml == pytest.approx(surface.volume / 1000, rel=1e-3)
        # Both ways: from the surface to the faces of the voxels, and from nearly all of these to the surface.
        faces_mm = outer_faces(labels == mesh.structure.label, grid)
        reach = max(spacing_mm)
        assert cKDTree(faces_mm).query(surface.vertices)[0].max() < 0.7 + 0.8 * reach
        assert np.percentile(cKDTree(surface.vertices).query(faces_mm)[0], 95) < 0.7 + 0.5 * reach
        # Normals point outwards: a step along them leaves the structure, a step against them enters it.
        for way, expected in ((1.0, False), (-1.0, True)):
            index = np.linalg.solve(
                grid.affine[:3, :3], (mesh.vertices + way * reach * mesh.normals - np.asarray(grid.origin_mm)).T
            )
            own = labels[tuple(np.rint(index[::-1]).astype(int))] == mesh.structure.label
            assert np.mean(own == expected) > 0.95
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    share=st.floats(0.02, 1.0),
    spacing_mm=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    origin_mm=st.tuples(*[st.floats(-2000.0, 2000.0)] * 3),
    angle=st.floats(-180.0, 180.0),
    seed=st.integers(0, 1000),
)
def test_any_mask_gives_a_closed_surface_of_its_volume_or_none(shape, share, spacing_mm, origin_mm, angle, seed):
    labels = (np.random.default_rng(seed).random(shape) < share).astype(np.uint8)
    direction = Rotation.from_euler("zx", (angle, angle / 2), degrees=True).as_matrix()
    grid = Grid(shape, spacing_mm, origin_mm, tuple(direction.ravel().tolist()))
    volume_mm3 = np.count_nonzero(labels) * grid.voxel_ml * 1000
    meshes = make_meshes(labels, grid, threads=1)
    assert bool(meshes) == (round(volume_mm3) > 0)
    for mesh in meshes:
        # As a reader of STL has it: corners told apart by their single-precision coordinates alone.
        corners = mesh.vertices[mesh.faces].reshape(-1, 3)
        _, joined = np.unique(corners, axis=0, return_inverse=True)
        surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert surface.is_watertight and surface.is_winding_consistent and surface.volume > 0
        edges = np.sort(joined.reshape(-1, 3)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        assert np.all(edges[:, 0] != edges[:, 1])
        assert np.all(np.unique(edges, axis=0, return_counts=True)[1] == 2)
        # A few samples cannot be enclosed more exactly than that.
        assert mesh.volume_ml * 1000 == pytest.approx(volume_mm3, rel=0.25, abs=8.0)


def test_a_structure_cut_by_the_scan_is_closed_there():
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[10:20, :, 10:20] = BY_KEY["aorta"].label
    (mesh,) = make_meshes(labels, Grid(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), threads=1)
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert surface.is_watertight and surface.volume == pytest.approx(3000, rel=0.03)
    np.testing.assert_allclose(surface.bounds[:, 1], (-0.5, 29.5), atol=0.5)


@pytest.fixture(scope="module")
def meshes():
    grid = grid_around((64, 64, 64), (3.0, 3.0, 3.0), TILTED)
    return make_meshes(draw_balls(grid), grid, threads=1)


def test_stl_says_its_space_and_unit_where_slicer_looks(meshes, tmp_path):
    write_stl(tmp_path / "one.stl", meshes[1])
    content = (tmp_path / "one.stl").read_bytes()
    assert content[:80].rstrip() == b"whs_fast left_atrium SPACE=LPS UNIT=mm"
    assert len(content) == 84 + 50 * len(meshes[1].faces)
    surface = read_stl(tmp_path / "one.stl")
    stored = np.frombuffer(content[84:], np.dtype([("normal", "<f4", 3), ("rest", "<f4", 9), ("end", "<u2")]))
    np.testing.assert_allclose(stored["normal"], surface.face_normals, atol=1e-3)


def test_glb_holds_names_colours_places_and_says_its_space(meshes, tmp_path):
    write_glb(tmp_path / "heart.glb", meshes)
    scene = trimesh.load(tmp_path / "heart.glb")
    assert list(scene.geometry) == [structure.key for structure in STRUCTURES]
    assert scene.metadata["space"] == "LPS" and scene.metadata["unit"] == "mm"
    for mesh in meshes:
        read = scene.geometry[mesh.structure.key]
        assert read.is_watertight and read.volume / 1000 == pytest.approx(mesh.volume_ml, rel=1e-4)
        np.testing.assert_array_equal(read.vertices, mesh.vertices)
        np.testing.assert_array_equal(read.faces, mesh.faces)
        np.testing.assert_allclose(read.vertex_normals, mesh.normals, atol=1e-5)
        # glTF's colours are linear: brought back to sRGB they are ours.
        linear = np.asarray(read.visual.material.baseColorFactor[:3], float)
        linear = linear / 255 if linear.max() > 1 else linear
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(srgb * 255, mesh.structure.colour, atol=4)
        matrix, _ = scene.graph[mesh.structure.key]
        np.testing.assert_array_equal(matrix, np.eye(4))


def gltf_of(path):
    """The JSON and the binary chunk, read by the letter of the specification."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4s2I", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    chunks, at = {}, 12
    while at < length:
        size, kind = struct.unpack_from("<I4s", content, at)
        assert size % 4 == 0
        chunks[kind] = content[at + 8 : at + 8 + size]
        at += 8 + size
    return json.loads(chunks[b"JSON"]), chunks.get(b"BIN\0", b"")


def test_glb_follows_the_specification(meshes, tmp_path):
    write_glb(tmp_path / "heart.glb", meshes)
    gltf, data = gltf_of(tmp_path / "heart.glb")
    assert gltf["asset"]["version"] == "2.0" and gltf["buffers"] == [{"byteLength": len(data)}]
    for node, mesh in zip(gltf["nodes"], meshes, strict=True):
        assert node["extras"]["label"] == mesh.structure.label and node["extras"]["name"] == mesh.structure.name
        assert node["extras"]["volume_ml"] == pytest.approx(mesh.volume_ml, abs=0.001)
    for accessor in gltf["accessors"]:
        view = gltf["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= len(data)
        size = {"VEC3": 12, "SCALAR": 4}[accessor["type"]]
        assert view["byteLength"] == accessor["count"] * size
    positions = [own["primitives"][0]["attributes"]["POSITION"] for own in gltf["meshes"]]
    for position, mesh in zip(positions, meshes, strict=True):
        np.testing.assert_array_equal(gltf["accessors"][position]["min"], mesh.vertices.min(axis=0))
        np.testing.assert_array_equal(gltf["accessors"][position]["max"], mesh.vertices.max(axis=0))


def test_nothing_found_gives_an_empty_folder_and_an_empty_scene(tmp_path):
    grid = Grid((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    write_meshes(tmp_path, {"stl", "glb"}, np.zeros(grid.shape, np.uint8), grid, threads=1)
    assert list((tmp_path / "meshes").iterdir()) == []
    gltf, data = gltf_of(tmp_path / "heart.glb")
    assert data == b"" and [] not in gltf.values() and gltf["scenes"][0]["extras"]["space"] == "LPS"


def test_the_number_of_threads_changes_nothing():
    grid = grid_around((50, 60, 70), (3.1, 2.9, 2.7), TILTED)
    labels = draw_balls(grid)
    for one, four in zip(make_meshes(labels, grid, threads=1), make_meshes(labels, grid, threads=4), strict=True):
        np.testing.assert_array_equal(one.vertices, four.vertices)
        np.testing.assert_array_equal(one.faces, four.faces)


def test_a_missing_folder_is_an_output_error(tmp_path):
    empty = np.zeros((0, 3), np.float32)
    mesh = Mesh(STRUCTURES[0], empty, empty.astype(np.uint32), empty, 0.0)
    with pytest.raises(OutputError, match="no such file"):
        write_stl(tmp_path / "missing" / "one.stl", mesh)
    with pytest.raises(OutputError, match="no such file"):
        write_glb(tmp_path / "missing" / "heart.glb", [])
