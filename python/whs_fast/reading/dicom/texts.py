"""What descriptions say, in the words of the wards of Europe, the Americas and East Asia, and how they are coded.

Words are as good as who wrote them: voxels, orientation and Image Type come before them (`choosing`).
"""

import re
import unicodedata

_MOST_LETTERS = 64
_ANY = "|".join

# Codecs by the numbers in Specific Character Set (0008,0005), as the standard and as sloppy writers have them.
_CODECS = {
    6: "latin-1",
    13: "shift_jis",
    58: "gb2312",
    87: "iso2022_jp_2",
    100: "latin-1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso8859_7",
    127: "iso8859_6",
    138: "iso8859_8",
    144: "iso8859_5",
    148: "iso8859_9",
    149: "euc_kr",
    159: "iso2022_jp_2",
    166: "tis_620",
    192: "utf-8",
    203: "iso8859_15",
}
# The escapes that announce Korean and simplified Chinese, whose codecs do not know them.
_ANNOUNCED = re.compile(rb"\x1b\$\)[AC]")

_WITHOUT = re.compile(
    _ANY(
        (
            r"\bno[nt]?[ _-]?(?:con|kon|enh|inj|iod|iv\b|ce\b|km\b)|\bnao[ _-]con",
            r"with ?out|\bw ?/ ?o\b|\bwo\b|unenh|\bplain\b|\bnativ|\bncct?\b|\bc ?-(?!\w)",
            r"\bpre[ _-]?(?:con|kon|inj|iv\b|km\b|mdc\b)",
            r"\bohne\b|\bo\.? ?km\b|\bsans\b|\bsin\b|\bsem\b|\bsenza\b|\bsmdc\b|\bbasale?\b|\bzonder\b|\bblanco\b",
            r"\bs ?/ ?(?:c\b|con|civ|iv|mdc|kontr)|\bsimples?\b",
            r"\but[ae]n\b|\buden\b|\bilman\b|\bbez\b|\bfara\b|kontrastsiz",
            r"\bca?[ _-]?scor|\bca[ _-]?sc\b|\bcasc|calci|\bcalc\b|\bkalk|\bkalz|score|scoring|agatston",
            r"без|нативн|кальц",
            r"単純|非造影|造影(?:なし|無|前)|プレーン|平[扫掃]|[非未不][增増]强|[非未]增強|[增増][强強]前|石灰化|[钙鈣]化",
            r"비조영|조영 ?전|단순|석회|칼슘",
        )
    )
)
_WITH = re.compile(
    _ANY(
        (
            r"[ck]ontrast|enhanced|\bc ?\+|cta\b|angio|arteri|venous|venos|portal",
            r"\bkm\b|\biv\b|\bmdc\b|\bcivi?\b|\binj",
            r"контраст|ангио|造影|[增増][强強]|조영",
        )
    )
)
# Coronal slices are no coronary arteries: "coronal" and "cor" are left alone in every language.
_HEART = re.compile(
    _ANY(
        (
            r"heart|herz|coeur|cuore|corazon|coracao|\bhart\b|hjert|hjart|serce|srdc|cardi|kardi",
            r"[ck]oron(?:ary|aries|arien|arar|arang|ar-? ?ct|air|ari|aro)|\bcoro\b|coroscan|\bcor ?cta|\bccta",
            r"tav[ir]\b|systol|diastol|bestsyst|bestdiast|сердц|коронар",
            r"心|冠脉|冠脈|冠状?[动動]脉|冠[状狀]?[动動]脈|심장|관상동맥",
        )
    )
)
# The lung, and not its vessels.
_LUNG = re.compile(
    r"\blung|poumon|pulmon\b|pulmao|polmon[ei]\b|\blong(?:en)?\b|parenc|легк|肺(?![动動静靜])|폐(?![동정])|\bbone\b|knochen"
)
# Kernels for lung and bone: words, Siemens' from 57 on, Canon's FC30, FC50 to 59 and FC80 to 89, Philips' YB to YD.
_SHARP = re.compile(r"lung|bone|edge|\b[bhiqu][a-z]?(?:5[7-9]|[6-9]\d)|\bfc(?:30|5\d|8\d)\b|\by[bcd]\b")


def decode(text: str, charset: str) -> str:
    """A tag's bytes, which the toolkit hands on as if they were UTF-8, as text; charset is Specific Character Set."""
    stored = text.encode("utf-8", "surrogateescape")
    if b"\x1b" not in stored:
        try:
            return stored.decode("utf-8")
        except UnicodeDecodeError:
            pass
    if "GB" in charset.upper():
        return stored.decode("gb18030", "replace")
    numbers = [int(number) for number in re.findall(r"\d{1,3}(?!\d)", charset.replace("2022", ""))]
    codec = next((_CODECS[number] for number in reversed(numbers) if number in _CODECS), "latin-1")
    return _ANNOUNCED.sub(b"", stored).decode(codec, "replace")


def cut(text: str) -> str:
    """A description for one line: its first letters, and question marks for what cannot be shown."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_MOST_LETTERS])


def _plain(text: str) -> str:
    """Small letters without accents, of their usual width."""
    letters = unicodedata.normalize("NFKD", text[:_MOST_LETTERS]).casefold().replace("œ", "oe").replace("ı", "i")
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if not _is_accent(letter)))


def _is_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f"


def says_contrast(description: str, agent: str) -> bool | None:
    """Whether a description and the name of an agent tell of contrast; None where they do not say."""
    words = _plain(description)
    if _WITHOUT.search(words):
        return False
    if agent:
        given = _plain(agent).strip()
        return given not in ("none", "no", "n/a", "na", "0", "without") and not _WITHOUT.search(given)
    return True if _WITH.search(words) else None


def says_heart(*texts: str) -> bool:
    """Whether texts tell of the heart or its arteries."""
    return any(_HEART.search(_plain(text)) for text in texts)


def says_lung(description: str) -> bool:
    """Whether a description tells of a reconstruction for lung or bone."""
    return bool(_LUNG.search(_plain(description)))


def is_sharp(kernel: str) -> bool:
    """Whether the name of a kernel is that of one for lung or bone."""
    return bool(_SHARP.search(_plain(kernel)))
