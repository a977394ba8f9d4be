"""Participant flow: counts that a reader can add up."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from ms_pfl.reporting import attrition

COLUMNS = ["stage", "reason", "patients", "episodes", "patients_dropped", "episodes_dropped"]
FLOWS = {
    "Belgium": [
        ("Registry", "People in the registry", 100, 1000, 0, 0),
        ("Age", "Younger than 18 years at the visit", 98, 980, 2, 20),
        ("Course", "Clinically isolated syndrome", 98, 980, 0, 0),
        ("Follow-up", "No EDSS near two years after the visit", 60, 500, 38, 480),
        ("Confirmation", "No later EDSS that confirms it", 50, 400, 10, 100),
        ("Episodes", "Labelled episodes", 50, 400, 0, 0),
    ],
    "Fiji": [
        ("Registry", "People in the registry", 3, 10, 0, 0),
        ("Age", "Younger than 18 years at the visit", 1, 4, 2, 6),
        ("Course", "Clinically isolated syndrome", 1, 4, 0, 0),
        ("Follow-up", "No EDSS near two years after the visit", 0, 0, 1, 4),
        ("Confirmation", "No later EDSS that confirms it", 0, 0, 0, 0),
        ("Episodes", "Labelled episodes", 0, 0, 0, 0),
    ],
}


@pytest.fixture
def by_country() -> pd.DataFrame:
    parts = [
        pd.DataFrame(rows, columns=COLUMNS).assign(country=name) for name, rows in FLOWS.items()
    ]
    # the larger country second, so that the order is made and not found
    return pd.concat(parts[::-1], ignore_index=True)


def test_table_by_country(by_country: pd.DataFrame) -> None:
    table = attrition.flow_by_country(by_country)
    assert table.to_dict("records") == [
        {
            "Country": "Belgium",
            "People": "100",
            "Visits": "1,000",
            "Eligible visits": "980",
            "People with an episode": "50",
            "Labelled episodes": "400",
            "% of visits": "40",
            "Most left out for": "No EDSS near two years after the visit",
        },
        {
            "Country": "Fiji",
            "People": "3",
            "Visits": "10",
            "Eligible visits": "4",
            "People with an episode": "0",
            "Labelled episodes": "0",
            "% of visits": "0",
            "Most left out for": "Younger than 18 years at the visit",
        },
    ]


def test_diagram_says_what_went_in_what_was_left_out_and_what_remains() -> None:
    flow = pd.DataFrame(FLOWS["Belgium"], columns=COLUMNS)
    figure = attrition.flow_diagram(flow, n_positive=60)
    said = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert said == [
        "In the registry",
        "100 people, 1,000 visits",
        "Not eligible",
        "20 visits; no visit is left of 2 people",
        "20",
        "Younger than 18 years at the visit",
        "Eligible visits",
        "98 people, 980 visits",
        "Outcome not known",
        "580 visits; no visit is left of 48 people",
        "480",
        "No EDSS near two years after the visit",
        "100",
        "No later EDSS that confirms it",
        "Labelled",
        "50 people, 400 labelled episodes",
        "60 of them (15.0 %) with the outcome",
    ]


def test_texts_of_the_diagram_stay_in_their_boxes() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    rows = [*FLOWS["Belgium"]]
    long = "Fewer than 3 days with an EDSS score in the 1187 days up to the visit, and then some"
    rows[1] = ("Age", long, 98, 980, 2, 1_234_567)
    figure = attrition.flow_diagram(pd.DataFrame(rows, columns=COLUMNS), n_positive=60)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    boxes = [patch.get_window_extent() for patch in axes.patches]
    assert len(boxes) == 5
    for text in axes.texts:
        if text.get_text():
            extent = text.get_window_extent(canvas.get_renderer())
            assert any(
                box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0
                and extent.y1 <= box.y1
                for box in boxes
            ), text.get_text()  # fmt: skip


def test_bars_of_a_country_add_up_to_all_its_visits(by_country: pd.DataFrame) -> None:
    axes = attrition.losses_by_country(by_country).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "Belgium (1,000)",
        "Fiji (10)",
    ]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    names = [bars.get_label() for bars in axes.containers]
    assert names == ["Labelled episode", "Confirmation", "Follow-up", "Age"]
    assert widths == [[40.0, 0.0], [10.0, 0.0], [48.0, 40.0], [2.0, 60.0]]
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert max(ends) == pytest.approx(100)


def test_readable_flow_writes_counts_with_separators() -> None:
    table = attrition.readable_flow(pd.DataFrame(FLOWS["Belgium"], columns=COLUMNS))
    assert table["Episodes"].tolist()[:2] == ["1,000", "980"]
    assert list(table) == [
        "Stage", "Reason", "Patients", "Episodes", "Patients dropped", "Episodes dropped",
    ]  # fmt: skip
