"""The page in a real browser: from a file, without a network, by mouse and by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from ddbench.api.record import LearningCurve, PublishedFigure
from ddbench.reporting.report import make_page, to_html
from tests.doubles.pages import few

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        try:
            made = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as fault:
            pytest.skip(f"no Chromium here: {str(fault).splitlines()[0]}")
        yield made
        made.close()


@pytest.fixture
def page(browser, tmp_path, request) -> Iterator[Any]:
    """The page of a few records; what the console says and what is asked of a network fail."""
    path = tmp_path / "report.html"
    learnt = {"learning_curves": [LearningCurve.from_losses([3.0, 2.0, 1.0])]}
    records = [record.model_copy(update=learnt) for record in few()]
    path.write_text(to_html(make_page([(None, record) for record in records])))
    context = browser.new_context(
        viewport={"width": getattr(request, "param", 1400), "height": 900}
    )
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda fault: said.append(str(fault)))
    tab.on("request", lambda asked: said.append(asked.url)
           if not asked.url.startswith(("file:", "data:")) else None)  # fmt: skip
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert said == []


def labels(tab: Any) -> list[str]:
    return [text.strip() for text in tab.locator("tbody.entry:visible .open").all_inner_texts()]


def order(tab: Any, name: str) -> str | None:
    return tab.locator("#board thead th", has_text=name).first.get_attribute("aria-sort")


def test_a_head_sorts_up_down_and_back(page):
    before = labels(page)
    button = page.get_by_role("button", name="top-1")
    button.click()
    assert order(page, "top-1") == "descending"
    assert page.locator("tbody.entry .score .value").all_inner_texts() == [
        "71.0 ± 1.0", "51.0 ± 1.0", "41.0 ± 1.0", "oom (0/1)",
    ]  # fmt: skip
    button.focus()
    page.keyboard.press("Enter")
    assert order(page, "top-1") == "ascending"
    # What has no number comes last either way.
    assert page.locator("tbody.entry .score .value").all_inner_texts() == [
        "41.0 ± 1.0", "51.0 ± 1.0", "71.0 ± 1.0", "oom (0/1)",
    ]  # fmt: skip
    button.click()
    assert order(page, "top-1") == "none"
    assert labels(page) == before


def test_filters_leave_the_rows_that_fit_and_say_how_many(page):
    page.locator('[data-facet="IPC"]').select_option("10")
    assert labels(page) == ["wmdd"]
    assert page.locator("#count").inner_text() == "1 of 4 rows"
    assert page.locator(".plot .point:visible").count() < page.locator(".plot .point").count()
    page.get_by_role("button", name="Clear").click()
    page.locator("#count", has_text="4 of 4 rows").wait_for()
    page.locator("#words").fill("RANDOM sel")
    assert labels(page) == []
    page.locator("#words").fill("rand")
    assert labels(page) == ["random"]


def test_a_row_opens_with_enter_and_its_link_can_be_followed(page):
    button = page.locator("tbody.entry .open").first
    assert button.get_attribute("aria-expanded") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    detail = page.locator("tbody.opened .detail")
    assert detail.is_visible()
    for told in ("Environment", "AMD EPYC", "ddbench reproduce"):
        assert told in detail.inner_text()
    detail.locator("summary").click()
    assert '"recipe"' in detail.locator("pre").inner_text()
    link = detail.get_by_role("link", name="Link to this row").get_attribute("href")
    page.keyboard.press("Escape")
    assert not page.locator("tbody.opened").count()
    page.goto(page.url.partition("#")[0] + link)
    page.reload()  # as one who was sent the link
    assert page.locator("tbody.opened").get_attribute("id") == link[1:]
    assert page.locator("tbody.opened .open").evaluate("e => e === document.activeElement")


def test_a_learning_curve_leads_to_its_row_and_follows_the_filters(page):
    curves = page.locator("#learning-curves .point")
    assert curves.count() == 3
    page.locator('[data-facet="IPC"]').select_option("10")
    shown = [curve for curve in curves.all() if curve.is_visible()]
    assert len(shown) == 1
    assert shown[0].locator(".curve").evaluate("e => getComputedStyle(e).opacity") == "1"
    shown[0].focus()
    page.keyboard.press("Enter")
    assert page.locator("tbody.opened").get_attribute("id") == shown[0].get_attribute("data-row")


def test_an_address_that_names_no_row_is_no_fault(page):
    page.evaluate("location.hash = '#%zz'")
    page.locator('[data-facet="IPC"]').select_option("10")
    assert page.locator("#count").inner_text() == "1 of 4 rows"
    assert not page.locator("tbody.opened").count()


def test_a_point_of_a_plot_leads_to_its_row(page):
    point = page.locator(".plot .point").first
    row = point.get_attribute("data-row")
    point.focus()
    page.keyboard.press("Enter")
    assert page.locator("tbody.opened").get_attribute("id") == row


@pytest.mark.parametrize("page", [390, 1400], indirect=True)
def test_nothing_sticks_out_and_the_theme_can_be_chosen(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = "getComputedStyle(document.body).backgroundColor"
    page.locator("#theme").select_option("dark")
    dark = page.evaluate(paper)
    page.locator("#theme").select_option("light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.locator("#theme").input_value() == "light"


def test_a_printed_page_leaves_out_what_cannot_be_used_on_paper(page):
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#filters").is_visible()
    assert page.locator("#board").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_board_of_every_facet_fits_beside_itself(browser, tmp_path):
    """All its columns at 1300 pixels, without scrolling; narrow pages leave columns out."""
    base = few()[0]
    claim = PublishedFigure(value=40.2, sd=0.6, source="paper", setting="", metric="top1")
    records = [
        base.model_copy(update={
            "key": f"{place}{seed}", "seed": seed, "dataset": dataset, "labels": labels,
            "protocol": protocol, "student": student, "claim": claim, "image_bytes": 44_700_000,
            "given": {"squeeze.epochs": "10", "squeeze.optimizer": "adamw"},
        })
        for place, (dataset, labels, protocol, student) in enumerate([
            ("imagenette@64", "fkd", "ddbench-v1-plain", "resnet18"),
            ("digits", "hard", "ddbench-v1", "resnet50"),
        ])
        for seed in (0, 1)
    ]  # fmt: skip
    path = tmp_path / "crowded.html"
    path.write_text(to_html(make_page([(None, record) for record in records])))
    tab = browser.new_page(viewport={"width": 1300, "height": 900})
    tab.goto(path.as_uri())
    assert tab.locator("#board > thead th").count() == 13
    sides = "e => [e.scrollWidth, e.clientWidth]"
    needed, there = tab.locator("#board").locator("..").evaluate(sides)
    tab.close()
    assert needed <= there
