"""The figure, the table and the sentences say what is in the tables of the attribution."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from ms_pfl.reporting.figures import to_svg
from ms_pfl.studies.attribution.compare import (
    compare_by_country,
    mean_importance,
    share_differences,
)
from ms_pfl.studies.attribution.show import (
    MOST_GROUPS,
    attribution_sentences,
    draw_importance,
    standing_out_table,
)

GROUPS = ["Sex", "EDSS level", "Relapses"]


def make_importance(seeds: tuple[int, ...] = (0, 1), groups: list[str] = GROUPS) -> pd.DataFrame:
    """The adaptive model of Malta uses relapses where the federated one uses the EDSS."""
    federated = dict.fromkeys(groups, 0.01) | {"EDSS level": 0.08, "Relapses": 0.02}
    turned = federated | {"EDSS level": 0.02, "Relapses": 0.08}
    rows = [
        (paradigm, "fedavg", seed, country, group, repeat,
         (turned if (paradigm, country) == ("adaptive", "Malta") else federated)[group]
         * (1 + 0.1 * seed), n)
        for paradigm in ("federated", "fine_tuned", "adaptive")
        for seed in seeds
        for country, n in (("Fiji", 3), ("Malta", 40), ("", 43))
        for group in groups
        for repeat in range(2)
    ]  # fmt: skip
    names = ["paradigm", "strategy", "seed", "country", "group", "repeat", "increase", "n_episodes"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def importance() -> pd.DataFrame:
    return make_importance()


@pytest.fixture(scope="module")
def by_country(importance: pd.DataFrame) -> pd.DataFrame:
    return compare_by_country(importance)


def test_the_figure_shows_the_means_and_the_differences(
    importance: pd.DataFrame, by_country: pd.DataFrame
) -> None:
    above, fine_tuned, adaptive = draw_importance(importance, by_country).axes[:3]
    labels = [text.get_text() for text in above.get_yticklabels()]
    assert labels == ["EDSS level", "Relapses", "Sex"]  # by importance to the global model
    means = mean_importance(importance)
    own = means[(means["paradigm"] == "federated") & (means["country"] == "")].set_index("group")
    drawn = next(line for line in above.lines if line.get_label() == "Federated FedAvg")
    np.testing.assert_allclose(drawn.get_xdata(), own.loc[labels, "increase"])
    assert [text.get_text() for text in fine_tuned.get_yticklabels()] == ["Malta (40)", "Fiji (3)"]
    assert adaptive.get_title() == "Share of importance: Adaptive FedAvg minus federated"
    assert [text.get_text() for text in adaptive.get_xticklabels()] == labels
    differences = share_differences(importance)
    for axes, paradigm in ((fine_tuned, "fine_tuned"), (adaptive, "adaptive")):
        cells = differences[differences["paradigm"] == paradigm]
        cells = cells.pivot(index="country", columns="group", values="difference")
        expected = 100 * cells.loc[["Malta", "Fiji"], labels].to_numpy()
        np.testing.assert_allclose(axes.collections[0].get_array(), expected, atol=1e-12)
    frames = [patch for patch in adaptive.patches if isinstance(patch, Rectangle)]
    assert [frame.get_xy() for frame in frames] == [(0, 0)]  # Malta's row
    assert not fine_tuned.patches


def test_a_page_takes_the_figure(importance: pd.DataFrame, by_country: pd.DataFrame) -> None:
    odd = importance.replace({"country": {"Malta": "$x$ & <b>"}})
    svg = to_svg(draw_importance(odd, compare_by_country(odd)), "importance")
    root = ElementTree.fromstring(svg)
    assert not [element for element in root.iter() if element.tag.endswith("image")]
    assert any("$x$ & <b>" in (element.text or "") for element in root.iter())


def test_no_pyplot(
    importance: pd.DataFrame, by_country: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    draw_importance(importance, by_country)


def test_unknown_shares_and_many_groups_and_no_personal_model() -> None:
    many = make_importance(groups=[*GROUPS, *(f"column {i}" for i in range(20))])
    nothing = (many["paradigm"] == "adaptive") & (many["country"] == "Fiji")
    many.loc[nothing, "increase"] = -0.1
    above, _, adaptive = draw_importance(many, compare_by_country(many)).axes[:3]
    assert len(above.get_yticklabels()) == len(adaptive.get_xticklabels()) == MOST_GROUPS
    assert "7 less important ones are not shown" in above.get_title()
    assert np.ma.getmaskarray(adaptive.collections[0].get_array())[1].all()
    alone = many[many["paradigm"] == "federated"]
    assert len(draw_importance(alone, compare_by_country(alone)).axes) == 1


def test_the_table_holds_who_stands_out(by_country: pd.DataFrame) -> None:
    # EDSS level 8/11 and relapses 2/11 change places: 6/11 moved, in both seeds alike
    assert standing_out_table(by_country, "hospital").to_numpy().tolist() == [
        ["Adaptive FedAvg", "Malta", "40", "55 %", "0 %", "EDSS level", "Relapses"]
    ]
    nobody = standing_out_table(by_country.assign(stands_out=False))
    assert nobody.empty
    assert list(nobody.columns) == [
        "Model", "Country", "Test episodes", "Importance moved", "By chance",
        "Federated model uses most", "Own model uses most",
    ]  # fmt: skip


def test_the_sentences(importance: pd.DataFrame, by_country: pd.DataFrame) -> None:
    lines = attribution_sentences(importance, by_country, ("hospital", "hospitals"))
    assert lines[:3] == [
        "The log-loss of Federated FedAvg on test episodes rises most when these are shuffled "
        "within each hospital: EDSS level (+0.084), Relapses (+0.021), Sex (+0.011).",
        "Fine-tuned FedAvg: no hospital of 2 that can be judged stands out in the features that "
        "its own model uses; over all hospitals together 0 % moved.",
        "Adaptive FedAvg: 1 of 2 hospitals that can be judged use other features than the "
        "federated model, by the share of importance that moved: Malta (55 %); over all hospitals "
        "together 0 % moved.",
    ]
    assert len(lines) == 4
    assert "2 times what two halves of the seeds disagree by" in lines[3]
    assert "more than 10 % of the importance" in lines[3]
    one = make_importance(seeds=(0,))
    assert "halves of the permutations" in attribution_sentences(one, compare_by_country(one))[-1]
