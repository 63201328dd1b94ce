"""Compiled networks kept between processes: the same answers, and never in the way."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.phantom import make_models
from whs_fast.networks import compiled_cache
from whs_fast.networks.installed import models_folder
from whs_fast.networks.openvino_model import Model

KEY = "0123abcd"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHS_FAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "compiled"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


def slices(batch=4):
    return np.random.default_rng(0).integers(0, 255, (batch, 1, 192, 192), np.uint8)


def localiser(folder, *, threads=2, batch=4):
    return Model(folder / "squeezenet_axial.xml", threads=threads, shapes=((batch, 1, 192, 192),))


def test_what_was_stored_comes_back(cache):
    assert compiled_cache.load(KEY) is None
    compiled_cache.store(KEY, b"first")
    compiled_cache.store(KEY, b"second")
    assert compiled_cache.load(KEY) == b"second"
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("spoil", [lambda c: b"", lambda c: c[:20], lambda c: c[:-1], lambda c: c[:-1] + b"x"])
def test_what_is_not_whole_counts_as_absent(cache, spoil):
    compiled_cache.store(KEY, b"content")
    (file,) = cache.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert compiled_cache.load(KEY) is None
    compiled_cache.store(KEY, b"content")
    assert compiled_cache.load(KEY) == b"content"


def test_off_means_off(tmp_path, monkeypatch):
    monkeypatch.setenv("WHS_FAST_CACHE", " OFF ")
    monkeypatch.chdir(tmp_path)
    assert compiled_cache.cache_folder() is None
    compiled_cache.store(KEY, b"content")
    assert compiled_cache.load(KEY) is None and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is another elsewhere")
def test_the_users_own_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.delenv("WHS_FAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled_cache.cache_folder() == tmp_path / "whs_fast" / "compiled"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compiled_cache.cache_folder() == tmp_path / ".cache" / "whs_fast" / "compiled"
    monkeypatch.setenv("WHS_FAST_CACHE", "relative")
    assert compiled_cache.cache_folder() is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WHS_FAST_CACHE", str(tmp_path / "file"))
    compiled_cache.store(KEY, b"content")
    assert compiled_cache.load(KEY) is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions as POSIX has them")
def test_a_folder_open_to_others_is_not_trusted(cache):
    compiled_cache.store(KEY, b"content")
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.chmod(0o777)
    assert compiled_cache.load(KEY) is None
    compiled_cache.store("other", b"content")
    assert len(list(cache.iterdir())) == 1


def test_old_files_go_and_files_of_others_stay(cache):
    cache.mkdir(parents=True, mode=0o700)
    (cache / "letter.txt").touch()
    for number in range(compiled_cache.MOST_FILES + 5):
        compiled_cache.store(f"key{number}", b"content")
        os.utime(cache / f"key{number}.network", (number, number))
    compiled_cache.store("last", b"content")
    assert compiled_cache.load("key0") is None and compiled_cache.load("last") == b"content"
    assert len(list(cache.glob("*.network"))) == compiled_cache.MOST_FILES
    assert (cache / "letter.txt").exists()


def test_many_at_once_leave_one_whole_file(cache):
    contents = [bytes([i]) * 500_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda content: compiled_cache.store(KEY, content), contents))
            assert compiled_cache.load(KEY) in contents
    assert len(list(cache.iterdir())) == 1


def test_a_second_model_takes_over_what_is_kept_and_answers_alike(cache):
    answer = localiser(models_folder())(slices())[0]
    assert len(list(cache.iterdir())) == 1
    np.testing.assert_array_equal(localiser(models_folder())(slices())[0], answer)
    assert len(list(cache.iterdir())) == 1


def test_what_is_kept_is_not_compiled_again(cache, folder):
    """Another network under the name of the first answers in its place."""
    answer = localiser(folder)(slices())[0]
    (file,) = cache.iterdir()
    trained = localiser(models_folder())(slices())[0]
    assert not np.array_equal(trained, answer)
    (other,) = set(cache.iterdir()) - {file}
    compiled_cache.store(file.stem, compiled_cache.load(other.stem))
    np.testing.assert_array_equal(localiser(folder)(slices())[0], trained)


@pytest.mark.parametrize("other", [{"threads": 1}, {"batch": 2}])
def test_another_network_is_kept_beside_the_first(cache, folder, other):
    localiser(folder).prepare()
    localiser(folder, **other).prepare()
    assert len(list(cache.iterdir())) == 2


def test_another_instruction_set_is_kept_beside_the_first(cache, folder, monkeypatch):
    localiser(folder).prepare()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    localiser(folder).prepare()
    assert len(list(cache.iterdir())) == 2


def test_what_openvino_does_not_take_is_compiled_anew_and_kept(cache, folder):
    answer = localiser(folder)(slices())[0]
    (file,) = cache.iterdir()
    for nonsense in (b"", b"nonsense", os.urandom(5000)):
        compiled_cache.store(file.stem, nonsense)
        np.testing.assert_array_equal(localiser(folder)(slices())[0], answer)
        assert compiled_cache.load(file.stem) != nonsense


def test_two_versions_share_the_cache_and_neither_takes_the_others_networks(cache, folder, monkeypatch):
    answer = localiser(folder)(slices())[0]
    (first,) = cache.iterdir()
    monkeypatch.setattr(
        "whs_fast.networks.openvino_model.describe_runtime", lambda: {"openvino": "another", "cpu": "", "formats": ""}
    )
    np.testing.assert_array_equal(localiser(folder)(slices())[0], answer)
    (second,) = set(cache.iterdir()) - {first}
    before = second.stat().st_mtime_ns, second.stat().st_ino
    monkeypatch.undo()
    np.testing.assert_array_equal(localiser(folder)(slices())[0], answer)
    assert (second.stat().st_mtime_ns, second.stat().st_ino) == before and len(list(cache.iterdir())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_a_full_disk_under_the_cache_leaves_no_partial_file_and_does_not_end_a_run(cache, folder):
    """A file may not grow beyond 1,000 bytes: writing fails in the middle, as on a full disk."""
    program = f"""
import resource, signal
from pathlib import Path
from whs_fast.networks.openvino_model import Model
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
Model(Path({str(folder)!r}) / "squeezenet_axial.xml", threads=1, shapes=((1, 1, 192, 192),)).prepare()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs to become a user without a home")
@pytest.mark.parametrize("home", [{}, {"HOME": "/nonexistent"}, {"HOME": "/proc"}])
def test_without_a_home_nothing_is_kept_and_nothing_fails(home):
    program = """
import os
from whs_fast.networks import compiled_cache
os.setgid(54321)
os.setuid(54321)
compiled_cache.store("key", b"content")
assert compiled_cache.load("key") is None
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "WHS_FAST_CACHE")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment | home, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_processes_share_the_cache(cache, folder):
    program = f"""
from pathlib import Path
from whs_fast.networks.openvino_model import Model
Model(Path({str(folder)!r}) / "squeezenet_axial.xml", threads=1, shapes=((1, 1, 192, 192),)).prepare()
"""
    started = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[1] for process in started] == [b""] * 4
    assert len(list(cache.iterdir())) == 1
