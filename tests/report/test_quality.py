"""The traffic light and the table of contrast: in words, in both pages, and absent where nothing is known."""

import pytest
from support.pages import measurements, parse, quality
from whs_fast.report.plain import render_report
from whs_fast.report.quality import quality_table, traffic_light

DICE = quality()["confidence"]["predicted_dice"]


def words(text):
    return " ".join(" ".join(parse(text).text).split())


@pytest.mark.parametrize(
    ("changes", "colour", "told"),
    [
        ({}, "green", "No fault found. Nothing about this result looks wrong."),
        (
            {"predicted_dice": DICE | {"right_atrium": 0.58, "coronary_sinus": 0.4, "aorta": 0.0}},
            "green",
            "No fault found. The whole looks right. Doubtful: right atrium (0.58). Look at the picture.",
        ),
        ({"review": True, "reasons": ["left atrium of 9 mL"]}, "amber", "Review. Look at the labels before you use"),
        (
            {"review": True, "reasons": ["low"], "predicted_dice": DICE | {"overall_pooled": 0.4}},
            "red",
            "Do not use. The labels are probably wrong.",
        ),
        ({"review": True, "reasons": ["not found: aorta"], "predicted_dice": None}, "red", "Do not use."),
        ({"review": True, "reasons": ["the left heart shows no contrast"]}, "red", "Do not use."),
    ],
)
def test_the_light_has_a_colour_and_a_sentence(changes, colour, told):
    light = traffic_light(measurements(**quality(**changes)))
    assert f'class="light {colour}"' in light
    assert told in words(light)
    assert all(reason in words(light) for reason in changes.get("reasons", []))


def test_what_is_expected_is_told_where_it_is_known():
    assert "Expected overlap with a reader's labels (Dice, 1 is perfect): 0.93." in words(
        traffic_light(measurements(**quality()))
    )
    assert "Dice" not in traffic_light(measurements(**quality(predicted_dice=None)))


def test_reasons_are_escaped():
    light = traffic_light(measurements(**quality(review=True, reasons=["<b>bold</b>"])))
    assert "b" not in parse(light).tags and "<b>bold</b>" in "".join(parse(light).text)


def test_the_table_holds_all_figures():
    text = words(quality_table(measurements(**quality())))
    assert "Left atrium 302 20 0.82" in text and "Coronary sinus 0.86" in text
    for part in ("390 HU", "310 HU", "80 HU", "280 HU", "25 HU", "0.62 mm", "not measured", "the header does not tell"):
        assert part in text


def test_older_results_have_pages_without_them():
    old = measurements()
    assert traffic_light(old) == quality_table(old) == ""
    page = render_report(old, b"")
    assert 'class="light' not in page and "How well the scan" not in page


def test_the_light_is_the_first_thing_on_the_page():
    page = render_report(measurements(**quality()), b"")
    assert page.index('class="light') < page.index("Research software") < page.index("<table>")
    assert "How well the scan shows the heart" in page
