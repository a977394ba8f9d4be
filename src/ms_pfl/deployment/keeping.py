"""What a site keeps of a finished model: its arrays and predictions, of which metrics leave."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.deployment.agreement import Software
from ms_pfl.deployment.masking import site_masks
from ms_pfl.deployment.site_folder import SITE, SNAPSHOT
from ms_pfl.deployment.site_parts import Site
from ms_pfl.federation.checkpoints import joined
from ms_pfl.federation.fixed_point import Words
from ms_pfl.federation.flower import Context, Message, MetricRecord, RecordDict, to_arrays
from ms_pfl.federation.masking import Part, masking_of
from ms_pfl.federation.messages import INPUTS, Predict
from ms_pfl.federation.partitions import SPLITS
from ms_pfl.federation.predictions import SCORES, SUMMED, score_sums
from ms_pfl.personalization.method import SHARED
from ms_pfl.training.bundle import FORMAT, FORMAT_NAME


def keep(
    site: Site, asked: Predict, message: Message, context: Context, reply: Message, run: str
) -> Message:
    """Keep the model and its predictions here, and answer with metrics instead."""
    seed = int(context.state["settings"]["seed"])
    country = site.settings.country
    data = site.folder.data(str(context.state[SITE][SNAPSHOT]))
    probabilities = to_arrays(reply.content["arrays"])
    shared = message.content.array_records.get("arrays")
    personal = to_arrays(context.state["own" if shared is None else "selected"])
    models = joined({f"seed={seed}/personal/{country}": personal}) | {
        FORMAT_NAME: np.array([FORMAT])
    }
    if shared is not None:
        models |= joined({f"seed={seed}/shared": to_arrays(shared)})
    models |= joined({f"seed={seed}/inputs": to_arrays(context.state[INPUTS])})
    codes, ids = data.countries[country].splits[seed], data.ids[country]
    parts: list[pd.DataFrame] = []
    metrics: dict[str, int | float] = {}
    sums: dict[str, Words] = {}
    for split, predicted in probabilities.items():
        rows = ids.loc[codes == SPLITS.index(split)]
        parts.append(rows.assign(country=country, split=split, seed=seed, probability=predicted))
        own = _scores(split, rows["label"].to_numpy(), predicted)
        metrics |= own
        summed = [own[f"{split}/{name}"] for name in SUMMED]
        sums[split] = score_sums(len(predicted), summed, max(1, len(asked.participants)))
    told = {
        "settings": str(context.state["settings"]["settings"]),
        "features": list(data.features),
        "software": Software.here().to_json(),
    }
    predictions = pd.concat(parts, ignore_index=True)
    site.folder.keep_model(run, asked.keep_as, seed, models, told, predictions)
    found = RecordDict({"metrics": MetricRecord(metrics)})
    if (masking := masking_of(site_masks, asked, message, context)) is not None:
        # all that the sites were told alike: settings, inputs, and the model where they share one
        alike = {INPUTS: context.state.array_records[INPUTS]}
        if shared is not None:
            alike[SHARED] = shared
        what = {"seed": seed, "settings": told["settings"], **asked.model_dump(mode="json")}
        part = Part(SCORES, asked.participants, what, alike, {SCORES: sums})
        found.update(masking.of([part]))
    return Message(found, reply_to=message)


def _scores(split: str, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, int | float]:
    """Return what the server learns of a split: sizes and three metrics, NaN where one is not
    defined."""
    from ms_pfl.evaluation.metrics import METRICS

    shown = ("roc_auc", "log_loss", "brier")
    return {
        f"{split}/n_episodes": len(labels),
        f"{split}/n_positive": int(labels.sum()),
        **{f"{split}/{name}": METRICS[name].plain(labels, probabilities) for name in shown},
    }
