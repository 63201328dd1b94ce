"""Files whose headers promise more than they hold: refused before the toolkit takes memory for it or makes it up."""

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import encapsulate
from support.dicom_cases import SYNTAXES, assert_refused, tagged, write, write_enhanced
from support.scans import assert_same_volume, make_scan
from whs_fast.reading.dicom.elements import find_pixels, read_meta
from whs_fast.reading.scan import read

SCAN = make_scan(shape=(14, 15, 16), spacing_mm=(10.5, 11.0, 11.5))
LIE = 700 << 20
PIXELS = b"\xe0\x7f\x10\x00"
DAMAGED = "damaged or truncated CT slice"
Spoil = Callable[[bytes], bytes]


def before_pixels(element: bytes) -> Spoil:
    def spoil(content: bytes) -> bytes:
        at = content.index(PIXELS)
        return content[:at] + element + content[at:]

    return spoil


def pixel_length(content: bytes) -> bytes:
    at = content.index(PIXELS) + 8
    return content[:at] + struct.pack("<I", LIE) + content[at + 4 :]


def first_of_group_2(content: bytes) -> bytes:
    at = content.index(b"\x02\x00\x01\x00OB") + 8
    return content[:at] + struct.pack("<I", LIE) + content[at + 4 :]


def inside(spoil: Spoil, more: bytes = b"") -> Spoil:
    """What is done to the data set of a deflated file."""

    def deflated(content: bytes) -> bytes:
        start = 144 + int.from_bytes(content[140:144], "little")
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        plain = spoil(zlib.decompress(content[start:], -zlib.MAX_WBITS)) + more
        return content[:start] + deflater.compress(plain) + deflater.flush()

    return deflated


def long(tag: bytes, form: bytes, length: int) -> bytes:
    return tag + form + b"\0\0" + struct.pack("<I", length)


UNDEFINED = 0xFFFFFFFF
OPEN_ITEM = b"\xfe\xff\x00\xe0" + b"\xff" * 4
PRIVATE, SEQUENCE = b"\x09\x00\x10\x10", b"\x40\x00\x75\x02"
NESTED = long(SEQUENCE, b"SQ", UNDEFINED) + OPEN_ITEM + long(PRIVATE, b"OB", LIE)
CLOSED = OPEN_ITEM + long(PRIVATE, b"OB", LIE) + b"abcd"
LIES: dict[str, tuple[str, Spoil]] = {
    "group 2": ("explicit", first_of_group_2),
    "group 2 of an implicit file": ("implicit", first_of_group_2),
    "pixel data": ("explicit", pixel_length),
    "a private element": ("explicit", before_pixels(long(PRIVATE, b"OB", LIE))),
    "a private element, implicit": ("implicit", before_pixels(PRIVATE + struct.pack("<I", LIE))),
    "a sequence": ("explicit", before_pixels(long(SEQUENCE, b"SQ", LIE))),
    "an element of an item": ("explicit", before_pixels(NESTED)),
    "deflated pixel data": ("deflated", inside(pixel_length)),
    "a deflated element": ("deflated", inside(before_pixels(long(PRIVATE, b"OB", LIE)))),
    "a deflated element of an item": (
        "deflated",
        inside(before_pixels(long(SEQUENCE, b"SQ", len(CLOSED)) + CLOSED)),
    ),
    "data that inflate without end": ("deflated", inside(before_pixels(b""), bytes(200 << 20))),
    "damage in what is deflated": ("deflated", lambda content: content[:-200] + bytes(200)),
}


def spoilt(folder: Path, syntax: str, spoil: Spoil) -> Path:
    """A series one slice of which is spoilt."""
    path = sorted(write(SCAN, folder, syntax=SYNTAXES[syntax]).iterdir())[5]
    path.write_bytes(spoil(path.read_bytes()))
    return folder


@pytest.mark.parametrize("lie", LIES)
def test_a_length_beyond_the_file_is_refused(lie: str, tmp_path: Path) -> None:
    assert_refused(spoilt(tmp_path / "scan", *LIES[lie]), DAMAGED)


READING = """
import json, sys
from pathlib import Path
import whs_fast.reading.dicom.series  # with the toolkit, which takes its share once
from whs_fast.errors import InputError
from whs_fast.reading.scan import read

def used():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return [int(status[key].split()[0]) >> 10 for key in ("VmRSS", "VmHWM")]

before = used()
for folder in sys.argv[1:]:
    try:
        read(folder)
    except InputError:
        continue
    sys.exit(f"{folder} was read")
print(json.dumps([before, used()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc as Linux has it")
def test_no_lie_costs_memory(tmp_path: Path) -> None:
    folders = [spoilt(tmp_path / str(number), *lie) for number, lie in enumerate(LIES.values())]
    found = subprocess.run([sys.executable, "-c", READING, *folders], capture_output=True, text=True)
    assert found.stderr == ""
    (kept_before, _), (kept, most) = json.loads(found.stdout)
    assert most - kept_before < 200 and kept - kept_before < 50  # MiB


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_more_rows_than_there_are_pixels_for_are_refused(syntax: str, tmp_path: Path) -> None:
    """The toolkit gave what happened to lie in memory, and twelve bytes of it for each pixel that was promised."""
    folder = write(SCAN, tmp_path / "scan", syntax=SYNTAXES[syntax])
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.Rows += 1
        image.save_as(path)
    assert_refused(folder, "damaged slice" if syntax == "RLE" else DAMAGED)


@pytest.mark.parametrize("coding", ("JPEG-LS", "JPEG 2000"))
def test_a_stream_of_another_size_is_refused(coding: str, tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "scan", syntax=SYNTAXES["JPEG-LS"])
    for path in folder.iterdir():
        content = path.read_bytes()
        at = content.index(b"\xff\xf7") + 5
        path.write_bytes(content[:at] + struct.pack(">HH", 30_000, 30_000) + content[at + 4 :])
        if coding == "JPEG 2000":
            image = pydicom.dcmread(path)
            stream = b"\xff\x4f\xff\x51" + struct.pack(">HH4I", 41, 0, 30_000, 30_000, 0, 0) + bytes(40)
            image.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
            image.PixelData = encapsulate([stream])
            image.save_as(path)
    assert_refused(folder, DAMAGED)


def test_a_frame_whose_stream_is_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write_enhanced([SCAN], tmp_path / "scan.dcm")
    image = pydicom.dcmread(path)
    image.compress(pydicom.uid.JPEGLSLossless, generate_instance_uid=False)
    image.save_as(path)
    assert_same_volume(read(path), SCAN)
    content = path.read_bytes()
    at = content.rindex(b"\xff\xf7") + 5
    path.write_bytes(content[:at] + struct.pack(">HH", 30_000, 30_000) + content[at + 4 :])
    assert_refused(path, "damaged slice")


def test_slices_larger_than_any_scanner_makes_are_refused(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "scan", syntax=SYNTAXES["RLE"], edit=tagged())
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.Rows, image.Columns = 20_000, 20_000
        image.save_as(path)
    assert_refused(folder, "found slices of 20000 x 20000 pixels, expected at most 4096 x 4096")


def with_icon(content: bytes) -> bytes:
    image = pydicom.dcmread(io.BytesIO(content))
    icon = pydicom.Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.PixelData = 2, 2, 8, b"\0" * 4
    icon["PixelData"].VR = "OB"
    image.IconImageSequence = [icon]
    image["IconImageSequence"].is_undefined_length = True
    buffer = io.BytesIO()
    image.save_as(buffer)
    return buffer.getvalue()


HARMLESS: dict[str, Spoil] = {
    "an icon": with_icon,
    "zeros after the pixels": lambda content: content + bytes(1000),
    "no preamble": lambda content: content[132:],
    "no group 2": lambda content: content[144 + int.from_bytes(content[140:144], "little") :],
}


@pytest.mark.parametrize("syntax", ("explicit", "implicit"))
@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_promises_no_more_than_it_holds_is_read(harmless: str, syntax: str, tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "scan", syntax=SYNTAXES[syntax])
    for path in folder.iterdir():
        path.write_bytes(HARMLESS[harmless](path.read_bytes()))
        assert find_pixels(path, read_meta(path)).length == SCAN.array[0].nbytes
    assert_same_volume(read(folder), SCAN)
