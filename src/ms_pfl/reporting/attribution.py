"""What the models make of the features, as a figure, a table and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ms_pfl.evaluation.attribution import GLOBAL, MIN_EPISODES, mean_importance, profile
from ms_pfl.evaluation.names import model_key, model_name, paradigm_name
from ms_pfl.reporting.figures import INK, PARADIGM_COLORS, short_name, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GRAY = "#808080"


@styled
def importance_figure(importance: pd.DataFrame, countries: pd.DataFrame) -> Figure:
    """Draw the importance of each group of features, and how countries differ in it.

    Left: how much log-loss rises without a group, a bar a paradigm, all countries together. Then a
    panel a personalized paradigm: the share of importance that a country's model lays on a group
    minus the share that the global model lays on it there.

    Args:
        importance: the table of :func:`ms_pfl.paradigms.attribution.importance`.
        countries: the table of :func:`ms_pfl.reporting.tables.country_table`; the largest country
            comes first. Countries with fewer than ``MIN_EPISODES`` test episodes are not shown.
    """
    from matplotlib.figure import Figure

    means = mean_importance(importance)
    groups = list(dict.fromkeys(means["group"]))
    paradigms = list(dict.fromkeys(means["paradigm"]))
    personal = [name for name in paradigms if name != GLOBAL]
    once = importance.drop_duplicates(["country", "seed"])
    sizes = once.groupby("country")["n_episodes"].sum()
    shown = [c for c in countries["country"] if sizes.get(c, 0) >= MIN_EPISODES]
    height = 1.9 + 0.21 * max(len(shown), 12)
    figure = Figure(figsize=(3.4 + 3.3 * max(len(personal), 1), height), layout="constrained")
    panels = figure.subplots(1, 1 + len(personal), squeeze=False)[0]
    bars = panels[0]
    place = np.arange(len(groups))
    for i, paradigm in enumerate(paradigms):
        own = means[means["paradigm"] == paradigm].set_index("group")["increase"].reindex(groups)
        offset = 0.26 * (i - (len(paradigms) - 1) / 2)
        color = PARADIGM_COLORS.get(paradigm, _GRAY)
        bars.barh(place + offset, own, height=0.24, color=color, label=paradigm_name(paradigm))
    bars.axvline(0, color=INK, linewidth=0.8)
    bars.set_yticks(place, [short_name(name) for name in groups])
    bars.set_ylim(len(groups) - 0.4, -0.6)
    bars.set(xlabel="rise of log-loss without it (nats)", title="All countries")
    bars.locator_params(axis="x", nbins=4)
    shares = _shares(importance, groups)
    tables = {name: _difference(shares, name, shown) for name in personal}
    reach = max([0.05, *(float(np.nanmax(np.abs(t), initial=0.0)) for t in tables.values())])
    image = None
    for axes, (paradigm, table) in zip(panels[1:], tables.items(), strict=True):
        # quadrilaterals, and no picture in the SVG
        image = axes.pcolormesh(
            place, np.arange(len(shown)), 100 * table,
            cmap="RdBu_r", vmin=-100 * reach, vmax=100 * reach,
        )  # fmt: skip
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xticks(place, [short_name(name) for name in groups], rotation=90)
        names = [short_name(name) for name in shown] if axes is panels[1] else []
        axes.set_yticks(range(len(shown)), names or [""] * len(shown))
        axes.tick_params(length=0)
        axes.set_title(f"{paradigm_name(paradigm)} minus federated")
    if image is not None:
        bar = figure.colorbar(
            image, ax=list(panels[1:]), label="share of importance, points", shrink=0.6
        )
        if bar.solids is not None:
            bar.solids.set_rasterized(False)
    figure.legend(loc="outside lower left", ncols=len(paradigms))
    return figure


def _shares(importance: pd.DataFrame, groups: list[str]) -> dict[tuple[str, str], np.ndarray]:
    means = importance.groupby(["paradigm", "country", "group"])["increase"].mean().unstack("group")
    return {
        (str(key[0]), str(key[1])): profile(row[groups])
        for key, row in means.iterrows()
        if isinstance(key, tuple)
    }


def _difference(
    shares: dict[tuple[str, str], np.ndarray], paradigm: str, countries: list[str]
) -> np.ndarray:
    return np.array([shares[paradigm, c] - shares[GLOBAL, c] for c in countries]).reshape(
        len(countries), -1
    )


def profiles_table(profiles: pd.DataFrame, site: str) -> pd.DataFrame:
    """Lay out the countries whose personal model uses other features than the global one.

    Args:
        profiles: the table of :func:`ms_pfl.evaluation.attribution.compare_profiles`.
        site: what a country is called.

    Returns:
        Text cells, a row a country and personal model that stands out: country, ``Model``, test
        episodes, distance in % with its noise, and the most important group of either model.
    """
    rows = [
        {
            f"{site[:1].upper()}{site[1:]}": row["country"],
            "Model": model_name(row["paradigm"], row["strategy"]),
            "Test episodes": f"{row['n_episodes']:,}",
            "On other features": f"{100 * row['distance']:.0f} %",
            "By chance": f"{100 * row['noise']:.0f} %",
            "Federated: first": row["top_global"],
            "Personal: first": row["top_personal"],
        }
        for row in profiles[profiles["stands_out"]].to_dict("records")
    ]
    return pd.DataFrame(rows, dtype="str")


def profiles_sentence(
    importance: pd.DataFrame, profiles: pd.DataFrame, sites: tuple[str, str]
) -> str:
    """Say what matters most, and which countries stand out.

    Args:
        importance: the table of :func:`ms_pfl.paradigms.attribution.importance`.
        profiles: the table of :func:`ms_pfl.evaluation.attribution.compare_profiles`.
        sites: what a country is called, and several.
    """
    means = mean_importance(importance)
    first = means[means["paradigm"] == GLOBAL]["group"].tolist()[:3]
    text = f"The federated model rests on {_listed([name.lower() for name in first])} most."
    for paradigm in sorted(profiles["paradigm"].unique(), key=lambda name: model_key(name, "")):
        own = profiles[profiles["paradigm"] == paradigm]
        out = own.loc[own["stands_out"], "country"].tolist()
        judged = int((own["n_episodes"] >= MIN_EPISODES).sum())
        name = paradigm_name(paradigm).lower()
        if out:
            text += f" Of {judged} {sites[1]}, the {name} model stands out in {_listed(out)}."
        else:
            text += f" The {name} model stands out in none of {judged} {sites[1]}."
    return text


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
