"""The streamed integer network against a slow whole-volume one: the same bits for any flow, threads, instructions."""

import signal
import threading
import time
from threading import get_ident

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SIDES = (32, 48, 40)
rng = np.random.default_rng(7)


def draw_layer(outputs, inputs, side=3, zero=0):
    """Weights of full range; scales that spread the results over 0..255."""
    weights = rng.integers(-127, 128, (outputs, inputs, side, side, side)).astype(np.int8)
    spread = 73 * (inputs * side**3) ** 0.5
    scale = [float(value) for value in np.float32(rng.uniform(0.5, 1.5, outputs) / spread)]
    return weights, scale, [float(value) for value in np.float32(zero + rng.uniform(0, 40, outputs))], zero


def draw_network(stacks=((4, 4), (8, 8, 8), (16, 16)), skips=(12, 24, 8), entry=24, classes=11):
    network = {"pool": (0.9, 3.0, 7), "entry": draw_layer(entry, 1, 5, 110), "stacks": [], "skips": [], "downs": []}
    channels = entry
    for level, growths in enumerate(stacks):
        network["stacks"].append([])
        for growth in growths:
            network["stacks"][-1].append(draw_layer(growth, channels))
            channels += growth
        network["skips"].append(draw_layer(skips[level], channels))
        if level + 1 < len(stacks):
            network["downs"].append(draw_layer(20, channels))
            channels = 20
    network["last"] = draw_layer(classes, 1 + sum(skips[: len(stacks)]), zero=128)
    return network


def run(network, region, instructions="portable", **options):
    shape = [side // 2 for side in region.shape]
    logits = np.full((*shape, network["last"][0].shape[0]), 99, np.int8)
    times = kernels.DenseVNet(**network, instructions=instructions)(region, logits, **options)
    return logits, times


@pytest.fixture(scope="module")
def network():
    return draw_network()


@pytest.fixture(scope="module")
def case(network):
    region = rng.integers(0, 256, SIDES).astype(np.uint8)
    return region, references.dense_vnet(network, region)


def test_the_case_is_rich(case):
    assert case[1].std() > 20 and len(np.unique(case[1].argmax(-1))) > 5


@pytest.mark.parametrize("instructions", kernels.instruction_sets())
@pytest.mark.parametrize(("planes_per_step", "threads"), [(1, 1), (2, 3), (5, 4), (1000, 2)])
def test_equals_the_definition(network, case, instructions, planes_per_step, threads):
    region, expected = case
    found, _ = run(network, region, planes_per_step=planes_per_step, instructions=instructions, threads=threads)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=15)
@given(st.tuples(*[st.integers(1, 4)] * 3), st.integers(1, 6))
def test_equals_the_definition_for_any_extents(eighths, planes_per_step):
    region = rng.integers(0, 256, [8 * n for n in eighths]).astype(np.uint8)
    network = draw_network(((4,), (8,), (16,)))
    found, _ = run(network, region, planes_per_step=planes_per_step, instructions=kernels.instruction_sets()[0])
    np.testing.assert_array_equal(found, references.dense_vnet(network, region))


@pytest.mark.parametrize("levels", [1, 2])
def test_fewer_stacks(levels):
    network = draw_network(((4, 8), (8, 12))[:levels], classes=3)
    region = rng.integers(0, 256, (12, 16, 20)).astype(np.uint8)
    found, _ = run(network, region, instructions=kernels.instruction_sets()[0])
    np.testing.assert_array_equal(found, references.dense_vnet(network, region))


extents = st.tuples(*[st.tuples(st.integers(0, side // 2), st.integers(0, side // 2)).map(sorted) for side in SIDES])


@settings(max_examples=40)
@given(extents, st.sampled_from([1, 2, 7]), st.integers(1, 8), st.sampled_from(kernels.instruction_sets()))
@example([[0, 0], [3, 9], [2, 4]], 2, 1, "portable")
@example([[0, 16], [0, 24], [0, 20]], 2, 2, "portable")
@example([[15, 16], [0, 1], [19, 20]], 1, 3, "portable")
@example([[0, 1], [23, 24], [0, 1]], 7, 3, "portable")
def test_a_wanted_box_is_the_whole_inside_and_zero_outside(
    network, case, wanted, planes_per_step, threads, instructions
):
    region, whole = case
    box = tuple(slice(*ends) for ends in wanted)
    expected = np.zeros_like(whole)
    expected[box] = whole[box]
    options = {"planes_per_step": planes_per_step, "threads": threads, "instructions": instructions}
    np.testing.assert_array_equal(run(network, region, wanted=wanted, **options)[0], expected)


def air_with(things, shape):
    """A region of air with boxes of anything in it."""
    region = np.zeros(shape, np.uint8)
    for low, size in things:
        box = tuple(slice(min(n - 1, a), min(n, a + b)) for a, b, n in zip(low, size, shape, strict=True))
        region[box] = rng.integers(1, 256, region[box].shape)
    return region


places = st.tuples(*[st.sampled_from([0, 1, 17, 31, 40, 62, 63, 71, 79])] * 3)
sizes = st.tuples(*[st.sampled_from([1, 2, 9, 30])] * 3)


@pytest.fixture(scope="module")
def shallow():
    return draw_network(((4,) * 3, (4,)), (4, 4), 4, 3)


@settings(max_examples=12)
@given(st.lists(st.tuples(places, sizes), max_size=4), st.integers(1, 8), st.sampled_from([1, 2, 7]), st.data())
@example([], 2, 2, None)
@example([((0, 0, 0), (1, 1, 1)), ((71, 63, 79), (1, 1, 1))], 3, 1, None)
def test_what_sees_only_air_is_exact(shallow, things, threads, planes_per_step, data):
    """Regions large enough for answers of air to be copied; what is not air lies anywhere, on each face too."""
    region = air_with(things, (72, 64, 80))
    expected = references.dense_vnet(shallow, region)
    options = {"threads": threads, "planes_per_step": planes_per_step}
    for instructions in kernels.instruction_sets():
        np.testing.assert_array_equal(run(shallow, region, instructions, **options)[0], expected)
    if data is not None:
        wanted = [sorted(data.draw(st.tuples(*[st.integers(0, n // 2)] * 2))) for n in region.shape]
        box = tuple(slice(*ends) for ends in wanted)
        kept = np.zeros_like(expected)
        kept[box] = expected[box]
        np.testing.assert_array_equal(run(shallow, region, wanted=wanted, **options)[0], kept)


def test_air_is_exact_in_a_deep_network(network):
    """Stacks that see farther than the small region of air tells do without it."""
    region = air_with([((30, 20, 70), (20, 30, 34)), ((63, 71, 5), (1, 1, 1))], (64, 72, 104))
    for instructions in kernels.instruction_sets()[:1]:
        np.testing.assert_array_equal(run(network, region, instructions)[0], references.dense_vnet(network, region))


def test_a_box_beyond_the_logits_is_refused(network, case):
    for wanted in ([(0, 17), (0, 24), (0, 20)], [(-1, 16), (0, 24), (0, 20)], [(0, 16), (9, 8), (0, 20)]):
        with pytest.raises(ValueError, match="wanted box must lie within the logits"):
            run(network, case[0], wanted=wanted)


def test_sums_beyond_sixteen_bits_are_exact():
    """Where products of bytes saturate, as those of AVX2 do, this comes out wrong."""
    network = draw_network(((4,),), classes=2)
    weights, _, bias, zero = network["stacks"][0][0]
    weights = np.full_like(weights, 127)
    weights[:, ::2] = -127
    weights[:, 1::4] = 127
    network["stacks"][0][0] = (weights, [1e-4] * 4, bias, zero)
    region = np.full((8, 8, 8), 255, np.uint8)
    expected = references.dense_vnet(network, region)
    for instructions in kernels.instruction_sets():
        np.testing.assert_array_equal(run(network, region, instructions=instructions)[0], expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_goes_to_one_with_the_work_in_the_calling_thread(network, case, threads):
    told = []
    found, _ = run(network, case[0], threads=threads, progress=lambda share: told.append((share, get_ident())))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(set(shares)) > 8
    assert {thread for _, thread in told} == {get_ident()}
    np.testing.assert_array_equal(found, case[1])


def test_what_progress_raises_ends_the_work(network, case):
    def stop(share):
        told.append(share)
        if share > 0.4:
            raise LookupError("enough")

    told = []
    with pytest.raises(LookupError, match="enough"):
        run(network, case[0], threads=3, progress=stop)
    assert 0.4 < told[-1] < 0.9
    np.testing.assert_array_equal(run(network, case[0], threads=3)[0], case[1])


def test_a_signal_is_handled_while_the_network_goes_on(network):
    """Ctrl-C ends the work before its end, although nothing but the kernel runs in the main thread."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    def send():
        begun.wait()
        while not shares:
            time.sleep(0.0005)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    shares, begun, before = [], threading.Event(), signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        region = np.zeros((160, 64, 64), np.uint8)
        with pytest.raises(KeyboardInterrupt):
            begun.set()
            # append is no Python code, in which a handler would run anyway.
            run(network, region, instructions="portable", planes_per_step=1, progress=shares.append)
        assert 0.0 < shares[-1] < 1.0
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_times_name_every_stage(network, case):
    _, times = run(network, case[0])
    names = [name for name, _ in times]
    assert {"pool", "entry", "stack 1", "skip 3", "down 2", "upsampling 4", "last"} <= set(names)
    assert all(seconds > 0 for _, seconds in times)


def test_layers_that_do_not_fit_are_refused(network):
    region = np.zeros((16, 16, 16), np.uint8)
    for change, message in (
        ({"entry": draw_layer(22, 1, 5, 110)}, "entry has 22 outputs, must have a multiple of 4"),
        ({"entry": draw_layer(24, 1, 3, 110)}, "entry must have 5 taps an axis"),
        ({"downs": network["downs"][:1]}, "a convolution between each two"),
        ({"last": draw_layer(11, 9)}, "the last layer has 9 inputs, must have 45"),
        ({"stacks": [[], *network["stacks"][1:]]}, "a stack has no layer"),
        (
            {"stacks": [network["stacks"][0][:1] + [draw_layer(4, 28, zero=9)], *network["stacks"][1:]]},
            "a layer of stack 1 has 9 as the integer for 0, must have 0 as the first layer of that stack",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run(network | change, region)
    weights, scale, bias, zero = network["last"]
    with pytest.raises(ValueError, match="must have a scale and a bias an output"):
        run(network | {"last": (weights, scale[1:], bias, zero)}, region)
    with pytest.raises(ValueError, match="multiples of 8"):
        run(network, np.zeros((16, 12, 16), np.uint8))
    with pytest.raises(ValueError, match="planes_per_step must be at least 1"):
        run(network, region, planes_per_step=0)
    with pytest.raises(ValueError, match=r"instructions is sse9, must be one of .*portable"):
        run(network, region, instructions="sse9")
    with pytest.raises(ValueError, match="threads is 0"):
        run(network, region, threads=0)
    with pytest.raises(ValueError, match="half the region's extents"):
        kernels.DenseVNet(**network)(region, np.zeros((8, 8, 8, 3), np.int8))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", [1, 2])
def test_a_scale_or_bias_that_is_not_finite_is_refused(network, part, value):
    region = np.zeros((16, 16, 16), np.uint8)
    for name, where in (("entry", "entry"), ("last", "the last layer")):
        layer = list(network[name])
        layer[part] = [value, *layer[part][1:]]
        with pytest.raises(ValueError, match=f"{where} has a scale or a bias that is not finite"):
            run(network | {name: tuple(layer)}, region)
    pool = list(network["pool"])
    pool[part - 1] = value
    with pytest.raises(ValueError, match="the pool has a scale or a bias that is not finite"):
        run(network | {"pool": tuple(pool)}, region)
