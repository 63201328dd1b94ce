"""Descriptions as wards write them, in their languages and their codes."""

from pathlib import Path

import pytest
from support.dicom_cases import SCAN, tagged, write
from whs_fast.reading.dicom.texts import is_sharp, says_contrast, says_heart, says_lung
from whs_fast.reading.scan import list_series

WITHOUT = [
    "THORAX W/O CONTRAST",
    "CHEST WO IV",
    "PRE CONTRAST",
    "Chest noncontrast",
    "Non-contrast heart",
    "CT unenhanced",
    "Plain chest",
    "NCCT",
    "ohne KM",
    "Thorax nativ",
    "Herz o. KM",
    "Kalkscoring",
    "Kalzium",
    "sans injection",
    "TDM sans contraste",
    "non injecté",
    "sin contraste",
    "TORAX SIN CIV",
    "s/c",
    "TC simple",
    "s/contraste",
    "sem contraste",
    "não contrastado",
    "senza mdc",
    "TC basale",
    "smdc",
    "zonder contrast",
    "blanco thorax",
    "uten kontrast",
    "uden kontrast",
    "utan kontrast",
    "ilman varjoainetta",
    "bez kontrastu",
    "kontrastsız",
    "Calcium Score",
    "CaSc 3.0",
    "CA SCORE",
    "Agatston",
    "без контраста",
    "нативная фаза",
    "単純CT",
    "胸部 非造影",
    "造影なし",
    "造影前",
    "石灰化スコア",
    "平扫",
    "胸部平掃",
    "非增强",
    "增强前",
    "钙化积分",
    "비조영",
    "조영전",
    "조영 전 흉부",
    "칼슘",
]
WITH = [
    "CTA heart",
    "Chest with contrast",
    "enhanced",
    "C+",
    "Angio",
    "arterial",
    "portal venous",
    "Thorax mit KM",
    "Thorax Kontrast arteriell",
    "TDM avec injection",
    "avec contraste",
    "con contraste",
    "TORAX CON CIV",
    "com contraste",
    "con mdc",
    "met contrast",
    "med kontrast",
    "с контрастом",
    "造影CT",
    "胸部増強",
    "增强",
    "動脈 增強",
    "조영 CT",
]
SILENT = [
    "chest",
    "Thorax 1.0",
    "axial 0.6",
    "MPR COR",
    "Sinus",
    "native",
    "Herz",
    "心臓",
    "胸部",
    "흉부",
    "Wohl 1.0",
    "Precordial",
    "Basel",
]
HEART = [
    "heart",
    "Herz",
    "cœur",
    "coeur",
    "cuore",
    "corazón",
    "coração",
    "hart",
    "hjerte",
    "serce",
    "cardiac",
    "Kardio",
    "coronary",
    "CORONARIES",
    "Koronarien",
    "Koronarangio",
    "coronaire",
    "coroscanner",
    "coronarias",
    "coronarie",
    "coronárias",
    "coronair",
    "CCTA",
    "CorCTA 0.6",
    "TAVI",
    "TAVR",
    "BestSyst 35 %",
    "сердце",
    "коронарные",
    "心脏",
    "心臓",
    "冠脉CTA",
    "冠状动脉",
    "冠動脈",
    "심장",
    "관상동맥",
]
NO_HEART = [
    "CORONAL",
    "MPR COR",
    "cor 3.0",
    "Thorax coronal",
    "koronal",
    "koronar",
    "coronale",
    "coronaal",
    "CORONAL MPR",
    "COR",
    "冠状位",
    "冠状断",
    "冠状面",
    "관상면",
    "chest",
    "Thorax",
    "record",
    "scorecard",
]


def test_words_for_no_contrast() -> None:
    assert [text for text in WITHOUT if says_contrast(text, "") is not False] == []
    # Whatever agent the scanner put into all series of the study.
    assert [text for text in WITHOUT if says_contrast(text, "Ultravist 370") is not False] == []


def test_words_for_contrast() -> None:
    assert [text for text in WITH if says_contrast(text, "") is not True] == []


def test_words_that_do_not_say() -> None:
    silent = [text for text in SILENT if text != "native"]
    assert [text for text in silent if says_contrast(text, "") is not None] == []


@pytest.mark.parametrize(
    "agent, told",
    (
        ("Ultravist", True),
        ("80CC OMNI", True),
        ("NONE", False),
        ("No", False),
        ("W/O", False),
        ("ohne", False),
        ("", None),
    ),
)
def test_agents(agent: str, told: bool | None) -> None:
    assert says_contrast("chest", agent) is told


def test_words_for_the_heart_are_not_those_for_coronal_slices() -> None:
    assert [text for text in HEART if not says_heart(text)] == []
    assert [text for text in NO_HEART if says_heart(text)] == []


def test_words_for_the_lung_are_not_those_for_its_vessels() -> None:
    lung = ["Lung", "Lunge", "poumon", "pulmón", "pulmão", "polmone", "longen", "лёгкие", "肺窗", "肺野", "폐", "bone"]
    vessels = [
        "CTA pulmonary veins",
        "Pulmonalis",
        "arteria pulmonar",
        "肺动脉",
        "肺動脈",
        "폐동맥",
        "chest",
        "Longitudinal",
        "belong",
    ]
    assert [text for text in lung if not says_lung(text)] == []
    assert [text for text in vessels if says_lung(text)] == []


def test_kernels() -> None:
    sharp = ["B70f", "Bl57d", "Br64f", "I70f\\3", "LUNG", "BONEPLUS", "EDGE", "FC51", "FC86", "FC30", "YC"]
    soft = ["B26f", "Bv36d", "Br40f", "I30f\\3", "Qr36", "STANDARD", "SOFT", "FC03", "FC43", "XCB", "B", "Bv49f", ""]
    assert [kernel for kernel in sharp if not is_sharp(kernel)] == []
    assert [kernel for kernel in soft if is_sharp(kernel)] == []


CODED = (
    ("ISO_IR 100", "Cœur séché".replace("œ", "oe")),
    ("ISO_IR 101", "Srdce kontrastní"),
    ("ISO_IR 144", "сердце"),
    ("ISO_IR 126", "Καρδιά"),
    ("ISO_IR 192", "心臓 造影"),
    ("ISO_IR 166", "หัวใจ"),
    ("GB18030", "冠状动脉 增强"),
    ("GBK", "心脏 平扫"),
    ("\\ISO 2022 IR 87", "胸部 単純"),
    ("\\ISO 2022 IR 149", "흉부 비조영"),
    ("ISO 2022 IR 6\\ISO 2022 IR 58", "胸部 平扫"),
)


@pytest.mark.parametrize("charset, text", CODED)
def test_codes_of_the_standard(charset: str, text: str, tmp_path: Path) -> None:
    """Written by pydicom, which knows all of them."""
    tags = tagged(SpecificCharacterSet=charset.split("\\"), SeriesDescription=text)
    (line,) = list_series(write(SCAN, tmp_path / "study", edit=tags))
    assert line.description == text


@pytest.mark.parametrize(
    "charset, text, codec",
    (
        ("ISO_IR_192", "心臓 造影", "utf-8"),
        ("", "Müller-Thorax", "latin-1"),
        ("", "胸部 造影", "utf-8"),
        ("ISO_IR 100", "胸部 造影", "utf-8"),
        ("ISO-IR 144", "сердце", "iso8859_5"),
        ("ISO2022IR149", "흉부", "euc_kr"),
    ),
)
def test_sloppy_codes(charset: str, text: str, codec: str, tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study", edit=tagged(SeriesDescription="@" * 24, StudyID="$" * 16))
    for path in study.iterdir():
        content = path.read_bytes().replace(b"@" * 24, text.encode(codec).ljust(24))
        # The private way of a tag that pydicom refuses to write: in place of another of its length.
        place = content.index(b"$" * 16) - 8
        value = content[:place] + content[place + 24 :]
        tag = b"\x08\x00\x05\x00CS" + len(charset + " " * (len(charset) % 2)).to_bytes(2, "little")
        start = value.index(b"\x08\x00\x08\x00CS")
        path.write_bytes(value[:start] + tag + charset.encode().ljust(len(charset) + len(charset) % 2) + value[start:])
    (line,) = list_series(study)
    assert line.description == text


def test_what_no_code_explains_is_shown_as_question_marks(tmp_path: Path) -> None:
    (line,) = list_series(write(SCAN, tmp_path / "study", edit=tagged(SeriesDescription="a\x07b")))
    assert line.description == "a?b"
