"""The protocol audit as a table, a page and a figure."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.evaluation.metrics import SCOPES
from ms_pfl.paradigms import model_name, models_in_order
from ms_pfl.reporting.figures import INK, legend_below, styled
from ms_pfl.reporting.words import MISSING, Row, markdown_text, rows_by, to_markdown
from ms_pfl.studies.protocol_audit.compare import SOUND
from ms_pfl.studies.protocol_audit.train import variant_name

_COLORS = ["#0072B2", "#C98500", "#009E73", "#CC79A7"]


def audit_table(audit: pd.DataFrame) -> pd.DataFrame:
    """Lay the audit out: a row per choice and scope, a column per model, text cells.

    Args:
        audit: the table of :func:`ms_pfl.studies.protocol_audit.compare.measure`.

    Returns:
        ``Protocol``, ``ROC-AUC`` (pooled, macro), then a column per model: ROC-AUC itself for the
        sound protocol, for a choice the difference to it with its 95 % interval; a dash where the
        choice does not act on the model, and "undefined" where test rows lack a class.
    """
    models = models_in_order(audit)
    found = rows_by(audit, "variant", "scope", "paradigm", "strategy")
    rows = []
    for variant in dict.fromkeys(audit["variant"]):
        for scope in dict.fromkeys(audit["scope"]):
            cells = {"Protocol": variant_name(variant), "ROC-AUC": SCOPES[scope]}
            for model in models:
                row = found.get((variant, scope, *model))
                cells[model_name(*model)] = MISSING if row is None else _cell(row, variant)
            rows.append(cells)
    return pd.DataFrame(rows, dtype="str")


def _cell(row: Row, variant: str) -> str:
    if math.isnan(row["difference"]):
        return "undefined"
    if variant == SOUND:
        return f"{row['value']:.3f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def audit_page(table: pd.DataFrame, source: Mapping[str, str]) -> str:
    """Return the table as a Markdown page that says how it came about."""
    return "\n\n".join(
        [
            "# Protocol audit",
            f"Data: {markdown_text(source['description'])}.",
            "First rows: ROC-AUC on held-out patients with the sound protocol, mean over seeds. "
            "Below: what each choice of the study's public code adds to it, alone and together, "
            "with a 95 % interval (bootstrap of patients within countries, one draw for all).",
            to_markdown(table),
        ]
    )


@styled
def draw_audit(audit: pd.DataFrame) -> Figure:
    """Draw the differences with their intervals, a panel per scope, a color per model."""
    shown = audit[audit["variant"] != SOUND]
    variants = list(dict.fromkeys(shown["variant"]))
    scopes = list(dict.fromkeys(shown["scope"]))
    models = models_in_order(shown)
    figure = Figure(figsize=(10, 1.4 + 0.62 * len(variants)), layout="constrained")
    panels = figure.subplots(1, len(scopes), sharey=True, sharex=True, squeeze=False)[0]
    for axes, scope in zip(panels, scopes, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        for i, model in enumerate(models):
            own = shown[
                (shown["scope"] == scope)
                & (shown["paradigm"] == model[0])
                & (shown["strategy"] == model[1])
            ]
            rows = own["variant"].map(variants.index) + 0.18 * (i - (len(models) - 1) / 2)
            color = _COLORS[i % len(_COLORS)]
            axes.hlines(rows, own["low"], own["high"], color=color, linewidth=1.4)
            axes.plot(own["difference"], rows, "o", color=color, label=model_name(*model))
        axes.set(title=f"{SCOPES[scope]} ROC-AUC", xlabel="published minus sound")
    panels[0].set(
        yticks=range(len(variants)),
        yticklabels=[variant_name(name) for name in variants],
        ylim=(len(variants) - 0.4, -0.6),
    )
    legend_below(figure, panels[0])
    return figure
