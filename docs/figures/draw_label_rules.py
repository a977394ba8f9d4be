"""Draw the figures of docs/labels.md: each rule on a few small trajectories.

Verdicts, E*, closing EDSS, onsets and PIRA are what the code says of these trajectories with the
parameters of conf/base. `python docs/figures/draw_label_rules.py` writes the SVG files again.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ms_pfl.cohort.first_event import EVENT_REASONS, event_days, first_events
from ms_pfl.cohort.outcomes import relapse_association
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.cohort.timeline import away_from_relapse, event_keys, visit_days
from ms_pfl.cohort.worsening import REASONS, label_anchors, minimum_increase

FOLDER = Path(__file__).parent
#: Day 0 of all trajectories: the visit t0.
T0 = pd.Timestamp("2010-01-01")
STATE, EVENT = "state_near_two_years", "first_confirmed_event"

_INK, _MUTED, _RED, _BLUE, _AMBER = "#222222", "#8a8a8a", "#c0392b", "#1f6fb2", "#f2c14e"


@dataclass(frozen=True)
class Panel:
    """A trajectory: EDSS by days from t0, relapse onsets, and what is asked of it."""

    title: str
    scores: tuple[tuple[int, float], ...]
    relapses: tuple[int, ...] = ()
    ask: str = STATE  # an outcome, "association" or "patient"
    changes: Mapping[str, Any] = field(default_factory=dict)
    history: bool = True  # two earlier visits at the baseline

    def rows(self) -> list[tuple[int, float]]:
        """All scores; those before t0 have the baseline's EDSS."""
        early = [(-360, self.scores[0][1]), (-180, self.scores[0][1])]
        return [*(early if self.history else []), *self.scores]


@dataclass(frozen=True)
class Verdict:
    """What the code says of a panel; days from t0, None where there is none."""

    text: str
    baseline: float
    threshold: float
    e_star: int | None = None
    closing: int | None = None
    onset: int | None = None
    confirmed: int | None = None


def settings(changes: Mapping[str, Any]) -> CohortParameters:
    """Return the parameters of conf/base with changes."""
    base = FOLDER.parents[1] / "conf/base/parameters_preprocessing.yml"
    given = yaml.safe_load(base.read_text(encoding="utf-8"))["cohort"]
    return CohortParameters.model_validate(given | dict(changes))


def judge(panel: Panel) -> Verdict:
    """Ask the code for the label of t0, or for the patient's first event."""
    parameters = settings(panel.changes)
    visits = pd.DataFrame(
        [("P", T0 + pd.Timedelta(days=day), edss) for day, edss in panel.rows()],
        columns=["PATIENT_ID", "DATE_OF_VISIT", "EDSS"],
    )
    # Somebody else of the country had a relapse long before, so that relapses are recorded.
    relapses = pd.DataFrame(
        [("Q", T0 - pd.Timedelta(days=5000))]
        + [("P", T0 + pd.Timedelta(days=day)) for day in panel.relapses],
        columns=["PATIENT_ID", "DATE_OF_ONSET"],
    )
    if panel.ask == "patient":
        event = first_events(visits, relapses, parameters).iloc[0]
        baseline = float(event["BASELINE_EDSS"])
        onset, confirmed = _day(event["ONSET_DATE"]), _day(event["CONFIRMATION_DATE"])
        text = "no event" if onset is None else f"event on day {onset}"
        return Verdict(
            text, baseline, _threshold(baseline, parameters), None, None, onset, confirmed
        )

    patients = pd.Index(["P", "Q"])
    days = visit_days(visits, patients)
    onsets = event_keys(relapses["PATIENT_ID"], relapses["DATE_OF_ONSET"], patients)
    anchors = label_anchors(visits, relapses, parameters)
    row = int(np.flatnonzero(anchors["t0"] == T0)[0])
    state = anchors.iloc[row]
    baseline = float(state["baseline"])
    threshold = _threshold(baseline, parameters)
    if panel.ask == STATE:
        text = _label_text(state["label"], state["reason"])
        return Verdict(
            text, baseline, threshold, _day(state["e_star_date"]), _day(state["closing_date"])
        )
    event = event_days(days, onsets, parameters).iloc[row]
    text = _label_text(event["label"], event["reason"])
    if panel.ask == "association":
        text = relapse_association(
            np.array([event["worsening_date"]], dtype="datetime64[us]"),
            np.array([0]),
            onsets,
            np.zeros(2, dtype=int),
            parameters,
        )[0]
    return Verdict(
        text, baseline, threshold, onset=_day(event["worsening_date"]),
        confirmed=_day(event["confirmation_date"]),
    )  # fmt: skip


def _label_text(label: float, reason: object) -> str:
    if np.isnan(label):
        return f"no label: {(REASONS | EVENT_REASONS)[str(reason)]}"
    return "1: worsening" if label == 1 else "0: no worsening"


def _threshold(baseline: float, parameters: CohortParameters) -> float:
    return baseline + float(minimum_increase(np.array([baseline]), parameters.rule)[0])


def _day(date: Any) -> int | None:
    return None if pd.isna(date) else int((date - T0).days)


#: Figures by file name; each a row of panels.
FIGURES: dict[str, Sequence[Panel]] = {
    "follow_up": (
        Panel("nearest to day 730", ((0, 2.0), (500, 2.0), (760, 3.0), (1000, 3.0), (1250, 3.0))),
        Panel("none from day 365 to 1095", ((0, 2.0), (300, 2.0), (1100, 3.0), (1300, 3.0))),
    ),
    "tie": (
        Panel("equally far: the lower", ((0, 2.0), (700, 3.5), (760, 2.5), (1000, 3.0))),
        Panel("and equal: the earlier", ((0, 2.0), (700, 3.0), (760, 3.0), (1000, 3.0))),
    ),
    "confirmation": (
        Panel("worse at each", ((0, 2.0), (730, 3.0), (820, 3.5), (980, 3.0))),
        Panel("one is not, within 180 days", ((0, 2.0), (730, 3.0), (820, 2.5), (980, 3.0))),
        Panel("the closing one is not", ((0, 2.0), (730, 3.0), (820, 3.0), (980, 2.5))),
    ),
    "closing": (
        Panel("180 days on does not close", ((0, 2.0), (730, 3.0), (910, 3.0))),
        Panel("181 days on does", ((0, 2.0), (730, 3.0), (911, 3.0))),
        Panel("nor is there a 0 without it", ((0, 2.0), (730, 2.0), (910, 2.0))),
    ),
    "relapse_time": (
        Panel("day 30 after an onset", ((0, 2.0), (640, 2.0), (740, 3.5), (1000, 3.0)), (710,)),
        Panel("day 31", ((0, 2.0), (640, 2.0), (741, 3.5), (1000, 3.0)), (710,)),
    ),
    "strata": (
        Panel("0 to 1", ((0, 0.0), (730, 1.0), (1000, 1.0))),
        Panel(
            "0 to 1, two strata",
            ((0, 0.0), (730, 1.0), (1000, 1.0)),
            changes={"rule": "two_strata"},
        ),
        Panel("5.5 to 6", ((0, 5.5), (730, 6.0), (1000, 6.0))),
        Panel("6 to 6.5", ((0, 6.0), (730, 6.5), (1000, 6.5))),
    ),
    "first_event": (
        Panel(
            "worse for 180 days",
            ((0, 2.0), (200, 3.0), (300, 3.0), (400, 3.0), (730, 2.0)),
            ask=EVENT,
        ),
        Panel(
            "one in between is not",
            ((0, 2.0), (200, 3.0), (300, 2.5), (400, 3.0), (730, 2.0)),
            ask=EVENT,
        ),
        Panel(
            "at relapse: opens, does not confirm",
            ((0, 2.0), (200, 3.5), (390, 3.0), (560, 3.0), (730, 3.0)),
            (190, 380),
            ask=EVENT,
        ),
    ),
    "event_follow_up": (
        Panel("nothing up to day 730", ((0, 2.0), (400, 2.0), (730, 2.0)), ask=EVENT),
        Panel("last EDSS before it", ((0, 2.0), (400, 2.0), (700, 2.0)), ask=EVENT),
        Panel("worse at the end", ((0, 2.0), (400, 2.0), (700, 3.0), (800, 3.0)), ask=EVENT),
        Panel("begins after day 730", ((0, 2.0), (400, 2.0), (740, 3.0), (950, 3.0)), ask=EVENT),
    ),
    "sustained": (
        Panel("better again later", ((0, 2.0), (300, 3.0), (500, 3.0), (900, 2.0)), ask=EVENT),
        Panel(
            "the same, sustained",
            ((0, 2.0), (300, 3.0), (500, 3.0), (900, 2.0)),
            ask=EVENT,
            changes={"sustained": True},
        ),
        Panel(
            "worse up to the last visit",
            ((0, 2.0), (300, 3.0), (500, 3.0), (900, 3.0)),
            ask=EVENT,
            changes={"sustained": True},
        ),
    ),
    "pira": tuple(
        Panel(
            f"relapse {abs(day)} days {'before' if day < 0 else 'after'}",
            ((0, 2.0), (400, 3.0), (600, 3.0), (800, 3.0)),
            (400 + day,),
            ask="association",
        )
        for day in (-91, -90, 30, 31)
    ),
    "one_day": (
        Panel("an episode: the lowest", ((0, 2.0), (730, 2.0), (730, 3.0), (1000, 3.0))),
        Panel(
            "a patient's first event: each row",
            ((0, 2.0), (730, 2.0), (730, 3.0), (1000, 3.0)),
            ask="patient",
        ),
    ),
}


def draw(panels: Sequence[Panel]) -> Figure:
    """One row of panels, the verdict of the code below each."""
    figure = Figure(figsize=(3.1 * len(panels) + 0.5, 2.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for ax, panel in zip(axes, panels, strict=True):
        _draw_panel(ax, panel, judge(panel))
    axes[0].set_ylabel("EDSS")
    return figure


def _draw_panel(ax: Axes, panel: Panel, verdict: Verdict) -> None:
    parameters = settings(panel.changes)
    _shade(ax, panel, verdict, parameters)
    for day in panel.relapses:
        ax.axvline(day, color=_RED, lw=1)
        ax.annotate("relapse", (day, 0.98), xycoords=("data", "axes fraction"), rotation=90,
                    fontsize=7, color=_RED, ha="right", va="top")  # fmt: skip
    ax.axhline(verdict.threshold, color=_INK, lw=0.8, ls="--")
    days, edss = zip(*panel.rows(), strict=True)
    ax.plot(days, edss, color=_MUTED, lw=1, zorder=2, drawstyle="steps-post")
    clean = away_from_relapse(
        np.array(days), np.sort(np.array(panel.relapses, dtype=int)),
        parameters.relapse_exclusion_days,
    )  # fmt: skip
    for counted, fill in ((clean, _INK), (~clean, "white")):
        ax.plot(np.array(days)[counted], np.array(edss)[counted], "o", ms=5, color=_INK, mfc=fill)
    marks = {"t0": 0, "E*": verdict.e_star, "closing": verdict.closing,
             "onset": verdict.onset, "confirmed": verdict.confirmed}  # fmt: skip
    for name, day in marks.items():
        if day is None or (name == "t0" and panel.ask == "patient"):
            continue
        at = [score for d, score in panel.rows() if d == day]
        high = max(at) if name == "onset" and panel.ask == "patient" else min(at)
        below = name in ("closing", "confirmed")
        ax.annotate(name, (day, high), (0, -13 if below else 6), textcoords="offset points",
                    fontsize=8, color=_BLUE, ha="center")  # fmt: skip
    low, high = min(edss), max([*edss, verdict.threshold])
    ax.set_ylim(low - 0.7, high + (1.5 if panel.relapses else 0.9))
    ax.set_yticks(np.arange(low, high + 0.1, 0.5))
    ax.set_xlim(-400, max(1150, max(days) + 60))
    ax.set_xticks([0, 365, 730, 1095])
    ax.tick_params(labelsize=7, length=0)
    ax.set_title(panel.title, fontsize=9)
    ax.set_xlabel("days from t0\n" + textwrap.fill(verdict.text, 38), fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)


def _shade(ax: Axes, panel: Panel, verdict: Verdict, parameters: CohortParameters) -> None:
    """Draw the window of follow-up, confirmation, or the relapses that go with a worsening."""
    if panel.ask == STATE:
        near, off = parameters.horizon_days, parameters.horizon_tolerance_days
        ax.axvspan(near - off, near + off, color=_BLUE, alpha=0.1, lw=0)
        ax.axvline(near, color=_BLUE, lw=0.6, ls=":")
        begin = verdict.e_star
    elif panel.ask == EVENT:
        ax.axvspan(0, parameters.horizon_days, color=_BLUE, alpha=0.1, lw=0)
        begin = verdict.onset
    elif panel.ask == "association" and verdict.onset is not None:
        before = parameters.relapse_days_before_worsening
        after = parameters.relapse_days_after_worsening
        ax.axvspan(verdict.onset - before, verdict.onset + after, color=_RED, alpha=0.1, lw=0)
        return
    else:
        begin = verdict.onset
    if begin is not None:
        ax.axvspan(begin, begin + parameters.confirmation_days, color=_AMBER, alpha=0.3, lw=0)


def render(panels: Sequence[Panel]) -> str:
    """Return the figure as SVG; the same code gives the same text."""
    plain = {"svg.hashsalt": "ms_pfl", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"]}
    file = io.StringIO()
    with mpl.rc_context(plain):
        draw(panels).savefig(file, format="svg", metadata={"Date": None})
    return _small(file.getvalue())


def main() -> None:
    """Write all figures beside this script."""
    for name, panels in FIGURES.items():
        (FOLDER / f"label_{name}.svg").write_text(render(panels), encoding="utf-8")


def _small(svg: str) -> str:
    """Without comments, metadata and unused ids; numbers to a tenth of a point."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(\d+\.\d)\d+", r"\1", svg)
    svg = re.sub(r' id="(figure|axes|patch|line2d|text|xtick|ytick|matplotlib\.axis)_\d+"', "", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = svg.replace('<style type="text/css">', "<style>text{font-family: sans-serif} ")
    svg = re.sub(r"\s+", " ", re.sub(r' transform="rotate\(-0 [^"]*"|<g/>', "", svg))
    return re.sub(r"> <", ">\n<", svg).strip() + "\n"


if __name__ == "__main__":
    main()
