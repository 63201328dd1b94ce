"""Series from an archive, and results back to it, by DICOMweb: QIDO-RS, WADO-RS and STOW-RS (DICOM PS3.18).

Who the archive asks to log in is named in ~/.netrc (user and password) or gives a bearer token in the environment, as
WHS_FAST_DICOMWEB_TOKEN: what stands in a command line is seen by everybody on the machine.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whs_fast.errors import InputError, OutputError
from whs_fast.outputs import FORMATS, NO_SOURCE, PICTURE
from whs_fast.temporary import temporary_folder

if TYPE_CHECKING:
    from whs_fast.result import Result

TOKEN = "WHS_FAST_DICOMWEB_TOKEN"
_TIMEOUT_S = 60.0


def fetch_series(url: str, series: str, folder: Path) -> None:
    """Fetches all instances of a series, as the archive holds them, into a folder, one after another.

    Args:
        url: of the DICOMweb service, such as "http://127.0.0.1:8042/dicom-web".
        series: Series Instance UID.
        folder: an existing one.

    Raises:
        InputError: the archive cannot be reached, or has no such series; one line says why.
    """
    from whs_fast.writing.dicom.header import lenient

    with _telling(url, InputError), lenient():
        client = _client(url)
        found = client.search_for_series(search_filters={"SeriesInstanceUID": series})
        studies = {_value(line, "0020000D") for line in found if _value(line, "0020000E") == series}
        if not studies:
            raise InputError(f"{url}: found no series {series}, expected one that the archive has")
        anything = (("application/dicom", "*"),)
        for number, instance in enumerate(client.iter_series(studies.pop(), series, media_types=anything)):
            instance.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def store_results(url: str, result: "Result", folder: Path) -> None:
    """Stores Segmentation, Structured Report and picture of a result in the study of its scan.

    folder is where the result was saved, dicom-seg among its formats. Raises OutputError where the archive cannot be
    reached or does not take them; InputError where the scan does not come from DICOM.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    from whs_fast.writing.dicom.header import lenient
    from whs_fast.writing.dicom.objects import PICTURE_OBJECT, write_picture

    if result.source is None:
        raise InputError(NO_SOURCE)
    with temporary_folder("--to-dicomweb") as aside, _telling(url, OutputError), lenient():
        write_picture(aside, (folder / PICTURE).read_bytes(), result.source, result.measurements)
        paths = [*(folder / name for name in FORMATS["dicom-seg"].files), aside / PICTURE_OBJECT]
        instances = [dcmread(path) for path in paths]
        for instance in instances:
            # Every archive takes this one; large masks are deflated on disk.
            instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        answer = _client(url).store_instances(instances)
        failed = answer.get("FailedSOPSequence") or []
        if failed:
            reasons = {f"0x{item.get('FailureReason', 0):04X}" for item in failed}
            count = f"{len(failed)} of {len(instances)} objects"
            raise OutputError(f"{url}: refused {count} (failure {', '.join(sorted(reasons))}); {folder} holds them")


def _client(url: str) -> Any:
    from dicomweb_client.web import DICOMwebClient

    for name in ("dicomweb_client", "retrying"):  # their messages name instances
        log = logging.getLogger(name)
        log.propagate, log.handlers = False, [logging.NullHandler()]
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    client = DICOMwebClient(url, headers=headers, timeout=_TIMEOUT_S)
    client.set_http_retry_params(retry=False)  # who asked waits, and may ask again
    return client


def _value(line: dict[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON."""
    return str(next(iter(line.get(tag, {}).get("Value", [])), ""))


@contextmanager
def _telling(url: str, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """Turns what goes wrong on the way into one line."""
    from requests import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        raise kind(f"{url}: the archive answered with status {error.response.status_code}") from error
    except RequestException as error:
        raise kind(f"{url}: cannot be reached ({type(error).__name__}), expected a DICOMweb service") from error
    except (InputError, OutputError):
        raise
    except ValueError as error:  # no URL, no UID, or no answer that a DICOMweb service would give
        raise kind(f"{url}: found no answer that can be read, expected a DICOMweb service") from error
