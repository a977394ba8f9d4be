"""Your country: what to use there, how certain that is, and how many patients would settle it."""

from __future__ import annotations

import math

import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.inference import BETTER, EQUIVALENT, WORSE
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.names import listed
from ms_pfl.paradigms import PARADIGMS, model_name, paradigm_name
from ms_pfl.reporting.answer import against_federated
from ms_pfl.reporting.content import About, Block, Content, Details, Table, Text, note
from ms_pfl.reporting.verdicts import digits_of
from ms_pfl.reporting.words import figure_strategies, signed

_METRICS = ("log_loss", "roc_auc")
#: Patients beyond which nobody is told to wait for them.
_MOST = 100_000
#: Models that a line names; of more, the two best by log-loss.
_NAMED = 3


def your_site(about: About, differences: pd.DataFrame) -> Content | None:
    """Show a block per site; None where nothing was compared with a federated model by site."""
    found = against_federated(differences)
    found = found[(found["scope"] == "country") & found["metric"].isin(_METRICS)]
    found = found[found["strategy"].isin(figure_strategies(found["strategy"], about.strategy))]
    if found.empty:
        return None
    margins = about.configuration.get("comparison", {}).get("margin") or {}
    blocks: list[Block] = []
    for site in about.countries.to_dict("records"):
        rows = found[found["country"] == site["country"]]
        counts = f"{site['n_patients']:,} patients"
        summary = f"{site['country']} ({counts}): {advice(rows)}"
        lines = reasons(rows, int(site["n_patients"]), margins)
        details = [Text(f"{counts}, {site['n_episodes']:,} episodes."), *map(Text, lines)]
        table = [Table(site_table(rows))] if len(rows) else []
        blocks.append(Details(summary, [*details, *table], label=str(site["country"])))
    return [
        Text(
            about.fill(
                "Each {site} against the federated model, on its own test patients, by log-loss "
                "and by ROC-AUC; its line opens."
            )
        ),
        *blocks,
        note(
            about.fill(
                "Intervals of single {sites} are not adjusted: of twenty, one excludes 0 by "
                "chance. What serves all {sites} together is the better guide for one whose own "
                "data are inconclusive. The number of patients that would settle a comparison "
                "assumes that the interval narrows with the square root of their number."
            )
        ),
    ]


def advice(rows: pd.DataFrame) -> str:
    """Say in a few words what the intervals of one site recommend.

    Args:
        rows: of one site, of the table of :func:`.answer.against_federated`.

    Returns:
        The models that are better than the federated one by log-loss or ROC-AUC, and not worse by
        the other (of many, the two with the lowest log-loss); else the federated model, or that the
        site has too few test patients.
    """
    known = rows.dropna(subset=["low"])
    if known.empty:
        return f"fewer than {MIN_PATIENTS} test patients, too few to say"
    verdicts = {
        _name(str(paradigm), str(strategy)): set(said)
        for (paradigm, strategy), said in known.groupby(["paradigm", "strategy"])["verdict"]
    }
    better = [name for name, said in verdicts.items() if BETTER in said and WORSE not in said]
    if len(better) > _NAMED:
        loss = known[known["metric"] == "log_loss"].sort_values("difference", kind="stable")
        order = [_name(*model) for model in loss[["paradigm", "strategy"]].to_numpy()]
        first = sorted(better, key=lambda name: order.index(name) if name in order else len(order))
        return f"{first[0]}, {first[1]} and {len(better) - 2} more better than federated"
    if better:
        return f"{listed(better)} better than federated"
    if all(said == {EQUIVALENT} for said in verdicts.values()):
        return "all equivalent to federated"
    return "none significantly better than federated"


def reasons(rows: pd.DataFrame, patients: int, margins: dict[str, float]) -> list[str]:
    """Say how certain the advice is, and how many patients would make it so.

    Args:
        rows: of one site, of the table of :func:`.answer.against_federated`.
        patients: of the site.
        margins: by metric, the largest difference that does not matter.
    """
    known = rows.dropna(subset=["low"])
    if known.empty:
        return []
    lines = []
    worse = known[known["verdict"] == WORSE]
    if len(worse):
        names = dict.fromkeys(
            _name(str(row["paradigm"]), str(row["strategy"])) for row in worse.to_dict("records")
        )
        lines.append(f"Worse than the federated model: {listed(list(names))}.")
    personal = known[known["paradigm"].map(lambda name: _role(name) == "personalized")]
    open_ = personal[personal["verdict"].isin(["inconclusive"]) & (personal["metric"] == "roc_auc")]
    margin = margins.get("roc_auc", math.nan)
    if len(open_) and margin > 0:
        half = float(((open_["high"] - open_["low"]) / 2).max())
        needed = patients_needed(patients, half, margin)
        text = "more than 100,000" if needed is None else f"about {needed:,}"
        lines.append(
            f"Its {patients:,} patients leave open a difference in ROC-AUC of ± {half:.3f} around "
            f"the estimate; to tell ± {margin:g} would need {text} patients."
        )
    return lines


def patients_needed(patients: int, half: float, margin: float) -> int | None:
    """Return how many patients narrow an interval to ± a margin, to two digits.

    The width of an interval falls with the square root of the number of patients. None: more than
    100,000.

    >>> patients_needed(300, 0.04, 0.01), patients_needed(300, 0.4, 0.01)
    (4800, None)
    """
    exact = patients * (half / margin) ** 2
    if not exact <= _MOST:
        return None
    digits = max(0, math.floor(math.log10(max(exact, 1.0))) - 1)
    return int(math.ceil(exact / 10**digits - 1e-9) * 10**digits)


def site_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Lay out the differences of one site.

    Args:
        rows: of one site, of the table of :func:`.answer.against_federated`.

    Returns:
        Text cells, a row per model: its difference from the federated one in log-loss and ROC-AUC
        with interval and verdict.
    """
    table = []
    for strategy in dict.fromkeys(rows["strategy"]):
        for paradigm in PARADIGMS:
            own = rows[(rows["strategy"] == strategy) & (rows["paradigm"] == paradigm)]
            if own.empty:
                continue
            cells = {"Model": _name(paradigm, str(strategy))}
            for metric in _METRICS:
                for row in own[own["metric"] == metric].to_dict("records"):
                    cells[METRICS[metric].label] = signed(row, digits_of(metric))
                    cells[f"by {METRICS[metric].label}"] = row["verdict"] or "–"
            table.append(cells)
    return pd.DataFrame(table).fillna("–").astype("str")


def _name(paradigm: str, strategy: str) -> str:
    """Return a model by the strategy of the federated one: of local networks there is one for
    all."""
    known = PARADIGMS[paradigm].strategies if paradigm in PARADIGMS else (strategy,)
    return model_name(paradigm, strategy) if strategy in known else paradigm_name(paradigm)


def _role(paradigm: str) -> str:
    return PARADIGMS[paradigm].role if paradigm in PARADIGMS else "personalized"
