"""Where the parts of the parametric heart lie: annuli, vessels, appendages, coronary arteries, papillary muscles.

Everything follows from the frame of the left ventricle, the solved chambers and the calibres, with some chance in each
point. Names of tubes: root, cusps, aorta, trunk, pa_branches, rvot, pv, ostia, laa, raa, svc, cs (structures of the
engine) and veins, arteries (not of the engine: venae cavae and lung arteries; coronary, arch and lung-vein branches).
"""

from dataclasses import replace

import numpy as np

from training.deformation import rotation
from training.parametric_heart import ORIGIN, Heart, Sizes, solve_chambers, unit, vec
from training.parametric_shapes import Tube, Vector, curve

MIDLINE_X = -8.0  # the aortic valve lies somewhat left of the midline


def place_heart(sizes: Sizes, rng: np.random.Generator, aortic_axis: Vector | None = None) -> Heart:
    """A heart with its chambers solved and all its tubes; the axis of its root is drawn if not given."""
    turn = rotation(rng.normal(0, 0.13, 3))
    apex = unit(turn @ vec(0.64, -0.56, -0.53))
    septal = turn @ vec(-0.7, -0.7, 0.0)
    septal = unit(septal - (septal @ apex) * apex)
    upper = np.cross(septal, apex)
    s = sizes
    mitral = (s.annulus + 0.97 * s.mitral) * unit(-0.72 * septal - 0.62 * upper)
    mitral_axis = unit(-apex + 0.35 * unit(mitral))
    if aortic_axis is None:
        aortic_axis = unit(vec(-0.46, -0.14, 0.86) + rng.normal(0, 0.07, 3))
    tricuspid = (0.75 * s.annulus + 0.55 * s.tricuspid) * septal - (0.7 * s.annulus + 0.85 * s.tricuspid) * upper
    tricuspid = tricuspid - 2 * apex
    tricuspid_axis = unit(-0.8 * apex + 0.3 * septal - 0.35 * upper)
    away = max(29.0, 1.36 * s.annulus + s.pulmonary + 3.0)
    pulmonic = away * unit(0.9 * upper + 0.3 * septal + 0.28 * apex)
    bare = Heart(
        sizes, apex, septal, upper, aortic_axis, mitral, mitral_axis, tricuspid, tricuspid_axis, pulmonic,
        vec(0, 0, 1), 20.0, 10.0, 15.0, 1.0, 1.0, (ORIGIN, vec(0, 0, 1)), {}, [],
    )  # fmt: skip
    heart = solve_chambers(bare)
    tubes: dict[str, list[Tube]] = {}
    _place_aorta(heart, tubes, rng)
    pulmonic_axis = _place_pulmonary_artery(heart, tubes, rng)
    heart = replace(heart, pulmonic_axis=pulmonic_axis)
    outer = heart.lv_radius + heart.lv_wall
    start = heart.rv_centre + (0.2 * outer + 0.35 * heart.rv_depth) * septal + 0.45 * outer * upper
    way = pulmonic - 12 * pulmonic_axis + 3 * septal
    r = s.pulmonary
    tubes["rvot"] = [curve([start, way, pulmonic, pulmonic + 5 * pulmonic_axis], [1.15 * r, 1.15 * r, r, r])]
    svc_plane = _place_caval_veins(heart, tubes, rng)
    _place_left_atrium(heart, tubes, rng)
    _place_right_appendage(heart, tubes, rng)
    _place_coronary_sinus(heart, tubes, rng)
    _place_coronary_arteries(heart, tubes, rng)
    return replace(heart, svc_plane=svc_plane, tubes=tubes, papillary=_papillary_muscles(heart, rng))


def _ascending(heart: Heart) -> tuple[Vector, Vector]:
    """Points of the ascending aorta at 40 and 62 mm above the valve; a wide one lies farther to the right."""
    wide = heart.sizes.ascending - 15
    return vec(-15 - 0.5 * wide, -9 - 0.5 * wide, 40), vec(-14 - 0.4 * wide, -7 - 0.4 * wide, 62)


def _place_aorta(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> None:
    s, axis = heart.sizes, heart.aortic_axis
    first, second = _ascending(heart)
    sinus, junction = s.annulus * rng.uniform(1.12, 1.25), max(s.annulus * 1.08, 0.9 * s.ascending)
    tubes["root"] = [
        Tube(np.stack([-5 * axis, ORIGIN, 9 * axis]), vec(s.annulus, s.annulus, sinus)),
        curve([9 * axis, 22 * axis, first, second], [sinus, junction, s.ascending, s.ascending]),
    ]
    one = unit(np.cross(axis, vec(-0.3, -0.9, 0.1)))
    two = np.cross(axis, one)
    turn = rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(3) * 2 * np.pi / 3
    tubes["cusps"] = [
        Tube(np.stack([c + 6 * axis, c + 13 * axis]), vec(0.72 * s.annulus, 0.66 * s.annulus))
        for c in (0.62 * s.annulus * (np.cos(a) * one + np.sin(a) * two) for a in angles)
    ]
    height = rng.normal(84, 7)
    spread = rng.normal(0, 3, (4, 3))
    down_x, down_y = MIDLINE_X + rng.normal(29, 4), rng.normal(80, 4)
    arch = [
        second,
        vec(-3, 6, height) + spread[0],
        vec(12, 30, height + rng.normal(0, 3)) + spread[1],
        vec(down_x - 4, down_y - 15, 64) + spread[2],
        vec(down_x, down_y - 3, 35),
        vec(down_x + rng.normal(0, 3), down_y, -10),
        vec(down_x - 5 + rng.normal(0, 5), down_y - 2, -75),
        vec(MIDLINE_X + rng.normal(12, 4), down_y - 6, -150),
        vec(MIDLINE_X + 8, down_y - 8, -260),
    ]
    a, d = s.ascending, s.descending
    middle = (a + d) / 2
    tubes["aorta"] = [curve(arch, [a, 0.95 * a, middle, 1.02 * d, d, d, 0.96 * d, 0.9 * d, 0.8 * d])]
    up = rng.uniform(4.5, 7.0), rng.uniform(3.0, 4.5), rng.uniform(3.5, 5.5)
    kind = rng.random()
    top = [vec(-7, 4, height), vec(2, 14, height + 3), vec(11, 27, height + 1)]
    if kind < 0.2:  # bovine arch: the left carotid leaves with the brachiocephalic trunk
        top[1] = vec(-6, 6, height + 8)
    tubes["arteries"] = [
        curve([top[0], vec(-18, 2, height + 25), vec(-30, 2, height + 50), vec(-34, 8, 210)], [up[0], up[0], 4.5, 4.0]),
        curve([top[1], vec(8, 8, height + 30), vec(14, 10, 220)], [up[1], up[1], 3.5]),
        curve([top[2], vec(24, 26, height + 28), vec(34, 24, height + 50), vec(70, 10, height + 62)],
              [up[2], up[2], 4.5, 4.0]),
    ]  # fmt: skip
    tubes["veins"] = []


def _place_pulmonary_artery(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> Vector:
    s, p = heart.sizes, heart.pulmonic
    first, second = _ascending(heart)
    trunk_radius = s.pulmonary * rng.uniform(1.0, 1.22)
    right, left = trunk_radius * rng.uniform(0.66, 0.82), trunk_radius * rng.uniform(0.66, 0.82)
    clear = s.ascending + 3.0
    middle = first + vec(0, 0, -2) + (clear + trunk_radius) * unit(vec(0.9, -0.38, 0))
    fork = 0.5 * (first + second) + vec(0, 0, -2) + (clear + trunk_radius + 1) * unit(vec(0.85, 0.52, 0))
    axis = unit(middle - p)
    radii = [s.pulmonary, s.pulmonary, 1.1 * s.pulmonary, trunk_radius, 0.95 * trunk_radius]
    tubes["trunk"] = [curve([p - 5 * axis, p, p + 8 * axis, middle, fork], radii)]
    behind = 0.5 * (first + second) + vec(2, clear + right + 1, -5)
    behind_svc = _svc_at(heart, 44) + vec(1, s.svc + right + 3, -3)
    hilum_r = vec(MIDLINE_X - rng.normal(50, 4), behind_svc[1] + rng.uniform(2, 8), rng.normal(34, 4))
    over = fork + vec(11, 15, 4)
    hilum_l = vec(MIDLINE_X + rng.normal(57, 4), rng.normal(50, 3), rng.normal(45, 4))
    tubes["pa_branches"] = [
        curve([fork, behind, behind_svc, hilum_r], [0.95 * right, right, right, 0.8 * right]),
        curve([fork, over, hilum_l], [left, left, 0.8 * left]),
    ]
    for hilum, side, radius in ((hilum_r, -1, right), (hilum_l, 1, left)):
        lung_tree(tubes["veins"], hilum, side, 0.62 * radius, rng)
    return axis


def lung_tree(tubes: list[Tube], start: Vector, side: int, radius: float, rng: np.random.Generator) -> None:
    """Branches that leave a hilum into the lung, twice divided."""
    for lift in (0.9, 0.2, -0.6, -1.2):
        way = unit(vec(side * rng.uniform(0.5, 1.0), rng.uniform(-0.7, 0.8), lift))
        middle = start + rng.uniform(22, 34) * way
        r = radius * rng.uniform(0.55, 0.9)
        tubes.append(Tube(np.stack([start, middle]), vec(r, 0.6 * r)))
        for _ in range(2):
            onwards = unit(way + rng.normal(0, 0.5, 3))
            tubes.append(Tube(np.stack([middle, middle + rng.uniform(20, 40) * onwards]), vec(0.6 * r, 0.3 * r)))


def _svc_at(heart: Heart, z: float) -> Vector:
    """The superior vena cava lies right of and behind the ascending aorta."""
    first, second = _ascending(heart)
    share = (z - first[2]) / (second[2] - first[2])
    centre = first + share * (second - first)
    apart = heart.sizes.ascending + heart.sizes.svc + 5
    return np.asarray(vec(centre[0], centre[1], z) + apart * unit(vec(-0.84, 0.54, 0)))


def _place_caval_veins(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> tuple[Vector, Vector]:
    s, centre, semi = heart.sizes, heart.ra_centre, heart.ra_semi
    mouth = centre + vec(-2, 0.15 * semi[1], 0.86 * semi[2])
    low, high = _svc_at(heart, 40), _svc_at(heart, 62)
    mouth[:2] = 0.6 * mouth[:2] + 0.4 * low[:2]
    end = vec(high[0] + 2, high[1] - 8, rng.normal(80, 6))
    low[2] = max(low[2], mouth[2] + 12)
    inside = centre + vec(-2, 0.1 * semi[1], 0.4 * semi[2])
    tubes["svc"] = [curve([inside, mouth, low, high, end], [1.05 * s.svc, 1.1 * s.svc, s.svc, s.svc, 0.95 * s.svc])]
    r = 0.72 * s.svc
    azygos = vec(MIDLINE_X - 8, 70, 40)
    ivc = 1.2 * s.svc + rng.uniform(0, 3)
    tubes["veins"] += [
        curve([end, end + vec(-6, -2, 24), end + vec(-22, 2, 50), end + vec(-70, -2, 62)], [r, r, r, 0.8 * r]),
        curve([end, end + vec(24, -14, 10), end + vec(58, -10, 26), end + vec(105, 0, 40)], [r, r, 0.9 * r, 0.8 * r]),
        curve([azygos + vec(0, 2, -260), azygos, vec(MIDLINE_X - 12, 62, 60), vec(MIDLINE_X - 26, 35, 66), high],
              [2.5, 3.0, 3.5, 3.8, 3.8]),
        curve([centre + vec(2, 0.35 * semi[1], -0.5 * semi[2]), centre + vec(3, 0.5 * semi[1], -0.95 * semi[2]),
               centre + vec(9, 20, -semi[2] - 25), vec(MIDLINE_X - 16, 48, -150), vec(MIDLINE_X - 18, 58, -260)],
              [0.9 * ivc, ivc, 1.05 * ivc, ivc, ivc]),
    ]  # fmt: skip
    return mouth, unit(vec(-0.1, 0.05, 1))


def _place_left_atrium(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> None:
    """Two to five pulmonary veins with their funnels, and the appendage left of the pulmonary trunk."""
    s, c, semi = heart.sizes, heart.la_centre, heart.la_semi
    hilum_l = max(MIDLINE_X + rng.normal(52, 4), c[0] + semi[0] + 19)
    hilum_r = min(MIDLINE_X - rng.normal(52, 4), c[0] - semi[0] - 19)

    def on_wall(x: float, y: float, z: float) -> Vector:
        return np.asarray(c + semi * unit(vec(x, y, z)) * 0.92)

    j = rng.normal(0, 3, (6, 3))
    ls, li = on_wall(0.8, 0.35, 0.62), on_wall(0.82, 0.5, -0.1)
    rs, ri = on_wall(-0.85, 0.15, 0.5), on_wall(-0.85, 0.45, -0.12)
    ls_end, li_end = vec(hilum_l + 3, ls[1] + 2, ls[2] + 11) + j[0], vec(hilum_l, li[1] + 14, li[2] - 4) + j[1]
    rs_end, ri_end = vec(hilum_r - 2, rs[1] - 3, rs[2] + 9) + j[2], vec(hilum_r, ri[1] + 12, ri[2] - 5) + j[3]
    sizes = s.vein * np.exp(rng.normal(0, 0.13, 5))
    ways: list[tuple[list[Vector], list[float]]] = []
    for upper, lower, upper_end, lower_end, common, radii in (
        (ls, li, ls_end, li_end, rng.random() < 0.15, sizes[:2]),
        (rs, ri, rs_end, ri_end, rng.random() < 0.06, sizes[2:4]),
    ):
        if common:  # one trunk that divides before the hilum
            start, fork = (
                0.5 * (upper + lower),
                0.5 * (upper + lower) + 0.45 * (0.5 * (upper_end + lower_end) - 0.5 * (upper + lower)),
            )
            wide = 1.3 * float(radii.mean())
            ways.append(([start, fork], [wide, wide]))
            ways += [([fork, upper_end], [radii[0], 0.8 * radii[0]]), ([fork, lower_end], [radii[1], 0.8 * radii[1]])]
        else:
            for start, end, radius in ((upper, upper_end, radii[0]), (lower, lower_end, radii[1])):
                ways.append(([start, 0.5 * (start + end), end], [radius, 0.95 * radius, 0.8 * radius]))
    if rng.random() < 0.2:  # a right middle vein of its own
        rm, radius = on_wall(-0.95, -0.05, 0.15), 0.65 * sizes[4]
        ways.append(([rm, vec(hilum_r - 4, rm[1] - 8, rm[2] + 1)], [radius, 0.8 * radius]))
    tubes["pv"] = [curve([p[0] + 0.35 * (c - p[0]), *p], [r[0], *r]) for p, r in ways]
    tubes["ostia"] = [
        Tube(np.stack([p[0] + 0.4 * (c - p[0]), p[0] + 3 * unit(p[1] - p[0])]), vec(1.4 * r[0], 1.12 * r[0]))
        for p, r in ways
        if np.linalg.norm((p[0] - c) / semi) < 1
    ]
    for end, side in ((ls_end, 1), (li_end, 1), (rs_end, -1), (ri_end, -1)):
        for _ in range(2):
            way = unit(vec(side, rng.normal(0.1, 0.5), rng.normal(0, 0.6)))
            radius = rng.uniform(0.4, 0.65) * s.vein
            middle = end + rng.uniform(18, 30) * way
            onwards = unit(way + rng.normal(0, 0.4, 3))
            tubes["arteries"].append(curve([end, middle, middle + 25 * onwards], [radius, 0.5 * radius, 0.2 * radius]))

    start = on_wall(0.78, -0.35, 0.45)
    trunk = tubes["trunk"][0]
    beside = trunk.points[len(trunk.points) // 2]
    width = float(trunk.radii.max())
    size = (s.la_ml / 84) ** 0.25 * rng.uniform(0.8, 1.2)
    tip = vec(beside[0] + width + 6, beside[1] + rng.uniform(-4, 8), rng.uniform(18, 32))
    bend = vec(
        0.5 * (start[0] + tip[0]) + 6, 0.5 * (start[1] + tip[1]) + 3, 0.5 * (start[2] + tip[2]) + rng.normal(3, 2)
    )
    tubes["laa"] = [curve([start + 0.4 * (c - start), start, bend, tip], [8 * size, 7 * size, 8.5 * size, 4.5 * size])]
    lobe = bend + size * vec(7, rng.normal(0, 3), rng.choice([-8.0, 8.0]))
    tubes["laa"].append(Tube(np.stack([bend, lobe]), vec(6 * size, 4 * size)))


def _place_right_appendage(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> None:
    """From the roof of the right atrium forward, around the right side of the aortic root."""
    c, semi, s = heart.ra_centre, heart.ra_semi, heart.sizes
    start = c + semi * vec(0.1, -0.55, 0.55)
    first, _ = _ascending(heart)
    tip = 0.5 * first + (1.15 * s.ascending + 9) * unit(vec(-0.45, -0.9, 0)) + vec(0, 0, rng.uniform(-6, 4))
    bend = 0.5 * (start + tip) + vec(-5, -4, 2)
    size = (s.ra_ml / 80) ** 0.25 * rng.uniform(0.85, 1.15)
    tubes["raa"] = [curve([start + 0.4 * (c - start), start, bend, tip], [11 * size, 11 * size, 9.5 * size, 5 * size])]


def _place_coronary_sinus(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> None:
    """Around the mitral annulus in the posterior groove, from the great cardiac vein to the right atrium."""
    s, axis = heart.sizes, heart.mitral_axis
    lateral = unit(-heart.septal - (-heart.septal @ axis) * axis)
    below = -np.cross(axis, lateral)
    if below @ heart.upper > 0:
        below = -below
    start, stop = np.deg2rad(rng.uniform(-15, 25)), np.deg2rad(122)
    angles = np.linspace(start, stop, 6)
    distance = s.mitral + 0.45 * min(heart.lv_wall, 12) + 2.5
    lift = 0.8 * s.sinus + 2.0
    ring = [heart.mitral + distance * (np.cos(a) * lateral + np.sin(a) * below) + lift * axis for a in angles]
    last = ring[-1]
    mouth = heart.ra_centre + 0.55 * (last - heart.ra_centre)
    taper = np.linspace(0.45, 0.95, 6) * s.sinus
    tubes["cs"] = [curve([*ring, 0.5 * (last + mouth), mouth], [*taper.tolist(), 1.05 * s.sinus, 1.1 * s.sinus])]
    vein = ring[0] + 18 * unit(ring[0] - ring[1]) + 4 * heart.apex
    outer = heart.lv_radius + heart.lv_wall + 3
    front = heart.equator + outer * unit(heart.upper + 0.5 * heart.septal)
    lower = front + 0.4 * heart.lv_length * heart.apex - 0.3 * outer * heart.upper
    tubes["veins"].append(curve([ring[0], vein, front, lower], [0.42 * s.sinus, 1.5, 1.3, 1.0]))


def _place_coronary_arteries(heart: Heart, tubes: dict[str, list[Tube]], rng: np.random.Generator) -> None:
    s, axis = heart.sizes, heart.aortic_axis
    outer = heart.lv_radius + heart.lv_wall + 3.0
    radius = rng.uniform(1.2, 2.2)
    left = 14 * axis + 1.1 * s.annulus * unit(-heart.septal * 0.6 + heart.upper * 0.2)
    stem = left + 9 * unit(vec(0.9, -0.1, -0.1))
    groove = unit(heart.upper + 0.75 * heart.septal)
    descending = [heart.equator + share * heart.lv_length * heart.apex + outer * size * groove
                  for share, size in ((-0.15, 0.98), (0.1, 1.0), (0.4, 0.85), (0.66, 0.45))]  # fmt: skip
    lateral = unit(-heart.septal - (-heart.septal @ heart.mitral_axis) * heart.mitral_axis)
    rise = unit(heart.upper - (heart.upper @ heart.mitral_axis) * heart.mitral_axis)
    ring = [heart.mitral + (s.mitral + 7) * (np.cos(a) * lateral + np.sin(a) * rise) + 5 * heart.mitral_axis
            for a in np.deg2rad([60, 25, -10, -45])]  # fmt: skip
    right = 14 * axis + 1.1 * s.annulus * unit(heart.septal * 0.9 + heart.upper * 0.2)
    t = heart.tricuspid_axis
    front = unit(heart.septal - (heart.septal @ t) * t)
    low = unit(-heart.upper - (-heart.upper @ t) * t)
    groove_ring = [heart.tricuspid + (s.tricuspid + 6) * (np.cos(a) * front + np.sin(a) * low)
                   for a in np.deg2rad([-40, 0, 45, 90])]  # fmt: skip
    tubes["arteries"] += [
        curve(
            [left, stem, *descending], [radius * 1.3, radius * 1.2, radius, 0.9 * radius, 0.8 * radius, 0.6 * radius]
        ),
        curve([stem, *ring], [radius, radius, 0.9 * radius, 0.8 * radius, 0.6 * radius]),
        curve([right, *groove_ring], [radius * 1.1, radius, radius, 0.9 * radius, 0.7 * radius]),
    ]


def _papillary_muscles(heart: Heart, rng: np.random.Generator) -> list[Tube]:
    """Anterolateral and posteromedial, from the middle of the free wall towards the valve."""
    out = []
    size = rng.uniform(0.13, 0.22) * heart.lv_radius + 0.8
    for around in (np.deg2rad(rng.normal(125, 10)), np.deg2rad(rng.normal(-125, 10))):
        side = np.cos(around) * heart.septal + np.sin(around) * heart.upper
        foot = heart.equator + rng.uniform(0.3, 0.4) * heart.lv_length * heart.apex + 0.72 * heart.lv_radius * side
        head = heart.equator + rng.uniform(0.02, 0.1) * heart.lv_length * heart.apex + 0.55 * heart.lv_radius * side
        out.append(Tube(np.stack([foot, head]), vec(1.25 * size, 0.8 * size)))
    return out
