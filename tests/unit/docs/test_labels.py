"""The figures of docs/labels.md say what the code says."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from kedro_project import PROJECT

FOLDER = PROJECT / "docs" / "figures"
YES, NO = "1: worsening", "0: no worsening"

#: What a clinician reads off the rules, panel by panel.
VERDICTS = {
    "follow_up": [YES, "no label: No EDSS near two years after the visit"],
    "tie": [NO, YES],
    "confirmation": [YES, NO, NO],
    "closing": [
        "no label: No later EDSS that confirms the worse EDSS near two years",
        YES,
        "no label: No later EDSS that settles the outcome; EDSS near two years not worse",
    ],
    "relapse_time": [NO, YES],
    "strata": [NO, YES, NO, YES],
    "first_event": [YES, NO, YES],
    "event_follow_up": [
        NO,
        "no label: Last EDSS before the horizon, and no confirmed worsening until then",
        "no label: Worse within the horizon up to the last visit, and not confirmed yet",
        NO,
    ],
    "sustained": [YES, NO, YES],
    "pira": ["PIRA", "RAW", "RAW", "PIRA"],
    "one_day": [NO, "event on day 730"],
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw_label_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_each_rule_has_its_figure_in_the_page(script):
    page = (PROJECT / "docs/labels.md").read_text(encoding="utf-8")
    assert set(re.findall(r"figures/label_(\w+)\.svg", page)) == set(script.FIGURES)
    assert set(script.FIGURES) == set(VERDICTS)


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts_are_those_of_the_rule_and_stand_in_the_figure(script, name):
    verdicts = [script.judge(panel).text for panel in script.FIGURES[name]]
    assert verdicts == VERDICTS[name]
    svg = (FOLDER / f"label_{name}.svg").read_text(encoding="utf-8")
    assert len(svg) < 15_000
    words = " ".join(re.findall(r">([^<>\n]+)</text>", svg))
    for panel, verdict in zip(script.FIGURES[name], verdicts, strict=True):
        assert panel.title in words
        assert verdict in words


def test_e_star_closing_onset_and_confirmation_by_hand(script):
    tie = [script.judge(panel) for panel in script.FIGURES["tie"]]
    assert [(v.e_star, v.closing) for v in tie] == [(760, 1000), (700, 1000)]
    late = script.judge(script.FIGURES["relapse_time"][0])
    assert (late.e_star, late.closing, late.threshold) == (640, 1000, 3.0)
    event = script.judge(script.FIGURES["first_event"][2])
    assert (event.onset, event.confirmed) == (200, 560)


def test_a_drawing_is_the_same_each_time_and_follows_the_panel(script):
    panels = script.FIGURES["tie"]
    drawn = script.render(panels)
    assert drawn == script.render(panels)
    assert drawn != script.render(panels[::-1])
    assert drawn.count("E*</text>") == 2
