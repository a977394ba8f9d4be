"""Table 1 in the study's layout, and the notes and tables around it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ms_pfl.evaluation.names import METRICS, SCOPES
from ms_pfl.evaluation.recalibration import RECALIBRATED
from ms_pfl.names import listed
from ms_pfl.paradigms import model_name, models_in_order, trains_in_rounds
from ms_pfl.reporting.protocol import published_choices

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

_SCOPES = ("pooled", "macro", "weighted")
_MISSING = "–"


def format_value(mean: float, sd: float = math.nan, digits: int = 3) -> str:
    """Return ``0.812 ± 0.003``, without ± where there is no sd, a dash where no mean.

    >>> format_value(0.8123, 0.0031)
    '0.812 ± 0.003'
    >>> format_value(0.8123)
    '0.812'
    """
    if math.isnan(mean):
        return _MISSING
    text = f"{mean:.{digits}f}"
    return text if math.isnan(sd) else f"{text} ± {sd:.{digits}f}"


def trained_models(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The models of Table 1 in its order: those that were trained, and so not the recalibrated."""
    return [model for model in models_in_order(table) if model[0] not in RECALIBRATED]


def table1(
    summary: pd.DataFrame, metrics: Sequence[str] = ("roc_auc", "pr_auc"), digits: int = 3
) -> pd.DataFrame:
    """Lay the summary out as the study's Table 1.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.
        metrics: which metrics; ``("brier", "log_loss")`` gives the companion table.
        digits: decimals.

    Returns:
        One row a trained model (Centralized, Local, then for each strategy Federated, Fine-tuned,
        Adaptive), text cells: ``Model``, then for each metric its pooled, macro and
        size-weighted value as mean ± sd over seeds.
    """
    columns: dict[str, list[str]] = {"Model": []}
    cells = {
        (row["paradigm"], row["strategy"], row["metric"], row["scope"]): format_value(
            row["mean"], row["sd"], digits
        )
        for row in summary[summary["scope"].isin(_SCOPES)].to_dict("records")
    }
    for paradigm, strategy in trained_models(summary):
        columns["Model"].append(model_name(paradigm, strategy))
        for metric in metrics:
            for scope in _SCOPES:
                cell = cells.get((paradigm, strategy, metric, scope), _MISSING)
                columns.setdefault(f"{METRICS[metric]} {SCOPES[scope]}", []).append(cell)
    return pd.DataFrame(columns, dtype="str")


def prevalence_table(prevalence: pd.DataFrame) -> pd.DataFrame:
    """Lay out how often each outcome is seen under each rule, as text for a page.

    Args:
        prevalence: outcome, rule, episodes, worsened, prevalence, agreement, kappa, share_pira
            (the last four as shares, missing where not known); the pair that is used comes first.
    """

    def percent(share: float) -> str:
        return _MISSING if pd.isna(share) else f"{100 * share:.1f} %"

    rows = [
        {
            "Outcome": row["outcome"].replace("_", " ").capitalize(),
            "Rule": row["rule"].replace("_", " "),
            "Episodes": f"{row['episodes']:,}",
            "Worsened": f"{row['worsened']:,}",
            "Prevalence": percent(row["prevalence"]),
            "Agreement with the one used": percent(row["agreement"]),
            "Cohen's kappa": _MISSING if pd.isna(row["kappa"]) else f"{row['kappa']:.2f}",
            "PIRA among worsenings": percent(row["share_pira"]),
        }
        for row in prevalence.to_dict("records")
    ]
    return pd.DataFrame(rows, dtype="str")


def traffic_table(history: pd.DataFrame, site: str = "country") -> pd.DataFrame:
    """Lay out what travels between the server and the sites in training, as text for a page.

    Args:
        history: the concatenated history tables of all fits.
        site: what a country is called.

    Returns:
        A row a model: ``Model``, ``Rounds`` (of a federation, lowest to highest over seeds), kB up
        and down a site and round (means over its messages), MB in all a seed.
    """
    rows = []
    for paradigm, strategy in models_in_order(history):
        own = history[(history["paradigm"] == paradigm) & (history["strategy"] == strategy)]
        last = own.groupby("seed")["round"].max()
        ends = [str(last.min()), str(last.max())]
        total = (own["bytes_up"] + own["bytes_down"]).sum() / len(last) / 1e6
        cells = {"Model": model_name(paradigm, strategy)}
        cells["Rounds"] = (
            "–" if not trains_in_rounds(paradigm) else " to ".join(dict.fromkeys(ends))
        )
        for name, column in (("up", "bytes_up"), ("down", "bytes_down")):
            sent = own.loc[own[column] > 0, column]
            mean = f"{sent.mean() / 1e3:,.1f}" if len(sent) else "–"
            cells[f"kB {name} a {site} and round"] = mean
        rows.append(cells | {"MB in all, a seed": f"{total:,.1f}" if total else "–"})
    return pd.DataFrame(rows, dtype="str")


def site_words(source: Mapping[str, str]) -> tuple[str, str]:
    """Return what the data call a site, and several: country, unless the source says otherwise.

    >>> site_words({"kind": "own", "site": "hospital"})
    ('hospital', 'hospitals')
    """
    site = source.get("site", "country")
    return site, _plural(site)


def country_table(episodes: pd.DataFrame) -> pd.DataFrame:
    """Count patients and episodes by country.

    Args:
        episodes: with country, patient_id and label.

    Returns:
        country, n_patients, n_episodes, n_positive, positive_share (0 to 1), largest country
        (by episodes) first.
    """
    table = (
        episodes.groupby("country")
        .agg(
            n_patients=("patient_id", "nunique"),
            n_episodes=("label", "size"),
            n_positive=("label", "sum"),
        )
        .astype("int64")
        .reset_index()
    )
    table["positive_share"] = table["n_positive"] / table["n_episodes"]
    return table.sort_values(["n_episodes", "country"], ascending=[False, True], ignore_index=True)


def per_country_table(
    summary: pd.DataFrame,
    countries: pd.DataFrame,
    metric: str = "roc_auc",
    digits: int = 3,
    site: str = "country",
) -> pd.DataFrame:
    """Lay a metric out by country: one row a country, one column a model, means over seeds.

    Args:
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.
        countries: the table of :func:`country_table`; its order is kept.
        metric: such as ``roc_auc``.
        digits: decimals.
        site: what a country is called, the head of the first column.

    Returns:
        Text cells: ``Country``, ``Patients``, ``Episodes``, ``With outcome`` (share of
        episodes with label 1), then a column a model; a dash where the metric is undefined in
        all seeds.
    """
    own = summary[(summary["scope"] == "country") & (summary["metric"] == metric)]
    wide = {
        (row["paradigm"], row["strategy"], row["country"]): row["mean"]
        for row in own.to_dict("records")
    }
    table = pd.DataFrame(
        {
            f"{site[:1].upper()}{site[1:]}": countries["country"],
            "Patients": [f"{n:,}" for n in countries["n_patients"]],
            "Episodes": [f"{n:,}" for n in countries["n_episodes"]],
            "With outcome": [f"{100 * share:.1f} %" for share in countries["positive_share"]],
        }
    )
    for pair in trained_models(own):
        means = [wide.get((*pair, country), math.nan) for country in countries["country"]]
        table[model_name(*pair)] = [format_value(mean, digits=digits) for mean in means]
    return table.astype("str")


def notes(
    coverage: pd.DataFrame,
    source: Mapping[str, str],
    split_counts: pd.DataFrame,
    protocol: Mapping[str, object],
) -> list[str]:
    """Say in full sentences what Table 1 rests on.

    Args:
        coverage: the table of :func:`ms_pfl.evaluation.scoring.coverage`.
        source: ``kind`` (``synthetic``, ``folder`` or ``own``), ``description`` and, where a
            country is called something else, ``site``, as in ``episodes.attrs["source"]``.
        split_counts: a row a seed and country: country, train_episodes, train_positive,
            validation_patients, test_patients.
        protocol: the choices of ``ProtocolParameters``.

    Returns:
        A sentence or two an entry; the warnings about the protocol and about synthetic data come
        first.
    """
    site, _ = site_words(source)
    lines = []
    published = published_choices(protocol)
    if published:
        lines.append(
            f"PUBLISHED PROTOCOL, not a sound comparison: {'; '.join(published)} (docs/audit.md)."
        )
    if source.get("kind") == "synthetic":
        lines.append(f"Synthetic data ({source['description']}): no figure is about real patients.")
    else:
        lines.append(f"Data: {source['description']}.")
    seeds = ", ".join(str(seed) for seed in coverage["seed"])
    lines.append(
        f"Test split: {_range(coverage['n_episodes'], 'episode')} "
        f"({_range(coverage['n_positive'], None)} with the outcome) of "
        f"{_range(coverage['n_patients'], 'patient')} in "
        f"{_range(coverage['n_countries'], site)} "
        f"for each seed; seeds {seeds}"
        f"{'.' if published else '; the same rows for every model.'}"
    )
    if coverage["n_single_class"].max() > 0:
        lines.append(
            f"Macro and size-weighted ROC-AUC and PR-AUC leave out "
            f"{_range(coverage['n_single_class'], site)} whose test episodes are all of one "
            f"class; pooled values keep them."
        )
    lines += _small_countries(split_counts)
    if len(coverage) > 1:
        lines.append(
            f"± is the standard deviation over {len(coverage)} seeds (patient split and initial "
            f"weights), not a confidence interval."
        )
    return lines


def _small_countries(split_counts: pd.DataFrame) -> list[str]:
    """Name the countries that are too small for a split, or have one class to learn from."""
    positive, episodes = split_counts["train_positive"], split_counts["train_episodes"]
    small = {
        "Trained but not scored in some seed (no test patient)": split_counts["test_patients"] == 0,
        "Without a vote in selection in some seed (no validation patient)": split_counts[
            "validation_patients"
        ]
        == 0,
        "One class only to train on in some seed": (positive == 0) | (positive == episodes),
    }
    return [
        f"{text}: {listed(sorted(set(split_counts.loc[rows, 'country'])))}."
        for text, rows in small.items()
        if rows.any()
    ]


def _range(counts: pd.Series, noun: str | None) -> str:
    low, high = int(counts.min()), int(counts.max())
    number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    if noun is None:
        return number
    return f"{number} {noun if high == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if re.search("(s|x|z|ch|sh)$", noun) else f"{noun}s"


def render_console(
    table: pd.DataFrame, notes: Sequence[str], title: str = "Table 1. Test performance"
) -> ConsoleTable:
    """Return Table 1 and its notes as something ``rich`` can print.

    Where the console is wide enough (100 characters for two metrics) the metrics stand side by
    side; a narrower one (80 without a terminal) gets one table a metric: no cell is ever cut.

    Args:
        table: the table of :func:`table1`.
        notes: the sentences of :func:`notes`.
        title: the line above.
    """
    return ConsoleTable(table, notes, title)


class ConsoleTable:
    """A ``rich`` renderable, see :func:`render_console`."""

    def __init__(self, table: pd.DataFrame, notes: Sequence[str], title: str) -> None:
        """Keep what is to be shown; nothing is laid out before the width is known."""
        self.table, self.notes, self.title = table, notes, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, table or tables, and notes."""
        from rich.measure import Measurement
        from rich.text import Text

        yield Text()
        yield Text(self.title, style="bold")
        side_by_side = self._rich_table(list(self.table.columns[1:]))
        needed = Measurement.get(console, options.update(max_width=1000), side_by_side).maximum
        for table in (
            [side_by_side] if needed <= options.max_width else map(self._rich_table, self._groups())
        ):
            yield table
            yield Text()
        for note in self.notes:
            yield Text(note)

    def _groups(self) -> list[list[str]]:
        groups: dict[str, list[str]] = {}
        for name in self.table.columns[1:]:
            groups.setdefault(name.rsplit(" ", 1)[0], []).append(name)
        return list(groups.values())

    def _rich_table(self, names: list[str]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        rich_table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        rich_table.add_column("Model", no_wrap=True)
        for name in names:
            head = "\n".join(name.rsplit(" ", 1)).replace("size-", "size-\n")
            rich_table.add_column(Text(head), justify="right", no_wrap=True)
        for row in self.table[["Model", *names]].itertuples(index=False, name=None):
            # ".812" instead of "0.812": the six columns of the study fit 100 characters
            rich_table.add_row(row[0], *(re.sub(r"\b0\.", ".", cell) for cell in row[1:]))
        return rich_table
