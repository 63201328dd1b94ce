"""A study of six series, described in ten languages or in none: the thin axial contrast series is taken, and told why.

Where words lie, voxels, orientation and Image Type tell: contrast is seen in the blood, a reformat by how it lies.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support import dicom_cases, scans
from support.dicom_cases import NAMES, tagged, write
from support.scans import assert_same_volume
from whs_fast.cli import main
from whs_fast.reading.scan import list_series, read
from whs_fast.volume import Volume

CONTRAST = scans.make_scan(shape=(24, 46, 50), spacing_mm=(3.9, 4.1, 6.0))
BLOOD = CONTRAST.array > 200
BONE = BLOOD & (np.arange(46)[:, None] > 33)  # the spine


def with_blood_at(hounsfield: int) -> np.ndarray:
    return np.where(BLOOD & ~BONE, CONTRAST.array - 330 + hounsfield, CONTRAST.array).astype(np.int16)


def noisy(array: np.ndarray, hounsfield: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0.0, hounsfield, array.shape)
    return np.clip(array + noise, -1024, 3071).astype(np.int16)


def thinned(array: np.ndarray, step: int) -> Volume:
    spacing = (*CONTRAST.spacing_mm[:2], CONTRAST.spacing_mm[2] * step)
    return Volume(np.ascontiguousarray(array[::step]), spacing, CONTRAST.origin_mm)


def reformat(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """Coronal or sagittal slices, nearer to each other than the axial ones; right-handed, as DICOM has them."""
    return scans.reorient(CONTRAST, axes, flips)


SERIES = {
    "native": thinned(with_blood_at(45), 1),
    "contrast": CONTRAST,
    "coronal": reformat((1, 0, 2), (False, True, False)),
    "sagittal": reformat((2, 0, 1), (False, True, False)),
    "lung": Volume(noisy(CONTRAST.array, 120.0), CONTRAST.spacing_mm, CONTRAST.origin_mm),
    "calcium": thinned(noisy(with_blood_at(45), 12.0), 1),
}
WORDS = {
    "English": ("CHEST W/O CONTRAST", "CTA CORONARIES", "MPR CORONAL", "MPR SAGITTAL", "LUNG", "CALCIUM SCORE"),
    "German": ("Herz ohne KM", "Thorax mit KM", "Herz koronar", "Herz sagittal", "Lunge", "Kalkscoring"),
    "French": ("COEUR SANS INJECTION", "TDM injecté", "coro coronal", "coeur sagittal", "poumon", "score calcique"),
    "Spanish": ("CORAZÓN SIN CONTRASTE", "tórax con civ", "corazón coronal", "sagital", "pulmón", "calcio"),
    "Portuguese": ("CORAÇÃO SEM CONTRASTE", "tórax com contraste", "coronal", "sagital", "pulmão", "escore de cálcio"),
    "Italian": ("CUORE SENZA MDC", "torace con mdc", "cuore coronale", "sagittale", "polmone", "calcium score"),
    "Dutch": ("HART ZONDER CONTRAST", "thorax met contrast", "hart coronaal", "sagittaal", "longen", "calciumscore"),
    "Japanese": ("心臓 単純", "胸部 造影", "心臓 冠状断", "心臓 矢状断", "肺野", "石灰化スコア"),
    "Chinese": ("心脏 平扫", "胸部 增强", "心脏 冠状位", "心脏 矢状位", "肺窗", "钙化积分"),
    "Korean": ("심장 비조영", "흉부 조영", "심장 관상면", "심장 시상면", "폐", "칼슘 점수"),
    "none": ("",) * 6,
    "the same": ("Thorax",) * 6,
    "lies": ("CTA CORONARY CONTRAST", "CHEST W/O CONTRAST", "CTA HEART", "CTA HEART", "CTA HEART", "CARDIAC CTA C+"),
}


def write_study(folder: Path, words: tuple[str, ...], order: list[int], **tags: object) -> Path:
    """The six series, numbered and named in an order that says nothing."""
    names = list(SERIES)
    for number, index in enumerate(order, 1):
        common = {
            "SpecificCharacterSet": "ISO_IR 192",
            "SeriesDescription": words[index],
            "AcquisitionTime": "101500" if names[index] in ("contrast", "coronal", "sagittal", "lung") else "100900",
        }
        write(SERIES[names[index]], folder, series=str(number), edit=tagged(**(common | tags)))
    return folder


@pytest.mark.parametrize("language", WORDS)
def test_the_thin_axial_contrast_series_is_taken(language: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(sum(language.encode()))
    order = rng.permutation(6).tolist()
    study = write_study(tmp_path / "study", WORDS[language], order)
    found = read(study)
    assert_same_volume(found, CONTRAST)
    assert found.choice is not None and found.choice.startswith("one of 6 CT series: contrast in the blood")
    assert "axial slices" in found.choice and "reformatted" not in found.choice
    (note,) = found.notes
    assert "one of 6 CT series (`whs-fast series` lists them), for: contrast in the blood" in note
    lines = {list(SERIES)[order[int(line.uid.rpartition(".")[2]) - 1]]: line for line in list_series(study)}
    assert [name for name, line in lines.items() if line.chosen] == ["contrast"]
    for name in ("native", "calcium"):
        assert lines[name].traits[0].startswith("no contrast in the blood")
    for name in ("coronal", "sagittal"):
        assert f"{name} slices, reformatted" in lines[name].traits
    assert "sharp kernel" in lines["lung"].traits


@pytest.mark.parametrize("order", ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 4, 0, 5, 3, 1], [4, 3, 1, 5, 0, 2]))
def test_the_order_does_not_matter(order: list[int], tmp_path: Path) -> None:
    agent = {"ContrastBolusAgent": "Ultravist", "BodyPartExamined": "HEART"}  # in all series, as some scanners do
    assert_same_volume(read(write_study(tmp_path / "study", WORDS["lies"], order, **agent)), CONTRAST)


def test_words_decide_where_nothing_can_be_seen(tmp_path: Path) -> None:
    """Series without contrast, whose words alone differ."""
    native = SERIES["native"]
    other = Volume(noisy(native.array, 3.0), native.spacing_mm, native.origin_mm)
    write(other, tmp_path, series="1", edit=tagged(SeriesDescription="Thorax ohne KM", AcquisitionTime="1000"))
    write(native, tmp_path, series="2", edit=tagged(SeriesDescription="Thorax mit KM", AcquisitionTime="1100"))
    assert_same_volume(read(tmp_path), native)


@pytest.mark.parametrize("tilt", (-25.0, 20.0))
def test_a_tilted_gantry_is_no_reformat(tilt: float, tmp_path: Path) -> None:
    angle = np.radians(tilt)

    def lean(index: int, image: Dataset) -> Dataset:
        image.ImageOrientationPatient = [1, 0, 0, 0, f"{np.cos(angle):.7f}", f"{np.sin(angle):.7f}"]
        return image

    write(CONTRAST, tmp_path, series="1", edit=lean)
    write(SERIES["coronal"], tmp_path, series="2")
    lines = list_series(tmp_path)
    assert [line.chosen for line in lines] == [True, False]
    assert "axial slices" in lines[0].traits


def test_a_series_that_cannot_be_looked_at_is_judged_by_its_words(tmp_path: Path) -> None:
    write(CONTRAST, tmp_path, series="1", edit=tagged(SeriesDescription="CTA heart"))

    def without_scale(index: int, image: Dataset) -> Dataset:
        image.SeriesDescription = "ohne KM"
        if index % 2:
            del image.RescaleSlope, image.RescaleIntercept
        return image

    write(SERIES["native"], tmp_path, series="2", edit=without_scale)
    lines = list_series(tmp_path)
    assert [line.traits[0] for line in lines] == ["contrast in the blood", "no contrast by its words"]
    assert lines[0].chosen


def test_the_choice_is_told_by_the_command_the_log_and_in_no_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    study = write_study(tmp_path / "study", WORDS["Japanese"], [0, 1, 2, 3, 4, 5])
    assert main(["series", str(study)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6 and printed[1].startswith("* ")
    assert "contrast in the blood, axial slices" in printed[1] and "胸部 造影" in printed[1]
    assert "no contrast in the blood, axial slices, cardiac" in printed[0]
    with caplog.at_level(logging.INFO, "whs_fast"):
        read(study)
    (record,) = [record for record in caplog.records if record.name.startswith("whs_fast.reading")]
    assert record.getMessage().startswith("took one of 6 CT series: contrast in the blood, axial slices")
    told = record.getMessage() + json.dumps(printed)
    assert "造影" not in record.getMessage() and dicom_cases.ROOT not in record.getMessage()
    assert not any(name in told for name in NAMES)
