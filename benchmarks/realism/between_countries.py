"""How much countries differ to one model: between-country sd of ROC-AUC and of log(E/O).

A pooled logistic regression is fitted on half of the patients of all countries and asked about the
other half, country by country. Where every country has many people, little of what its figures
differ by is sampling error, and that little is subtracted: with k countries, estimates a_c and
standard errors s_c,

    tau^2 = max(0, sum (a_c - mean a)^2 / (k - 1) - mean s_c^2)

(Hedges and Olkin's moment estimator). Standard errors are of sums over patients, whose episodes
belong together: those of ROC-AUC are of DeLong's structural components (DeLong 1988; Obuchowski
1997), those of log(E/O) of the delta method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import LogisticRegression

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.parameters import CohortParameters
from ms_pfl.registry.synthetic.countries import COUNTRIES
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.registry.synthetic.simulation import simulate

#: People simulated in each country: a standard error of ROC-AUC of about .013, where tau is .05.
PEOPLE = 3_000
_BASELINE = "EDSS_at_0"
_INVERSE_PENALTY = 0.1


@dataclass(frozen=True)
class Between:
    """Between-country standard deviations, sampling error taken out, and what they are made of."""

    countries: pd.DataFrame
    """A row per country: patients, episodes, prevalence, roc_auc, log_eo, se_ of the last three."""
    pooled_roc_auc: float

    def sd(self, name: str) -> float:
        """Return the standard deviation of ``prevalence``, ``roc_auc`` or ``log_eo`` between
        countries."""
        own, error = self.countries[name], self.countries[f"se_{name}"]
        return float(np.sqrt(max(0.0, own.var(ddof=1) - (error**2).mean())))

    def p_homogeneous(self, name: str) -> float:
        """p that all countries have the same one (Cochran's Q)."""
        own, weight = self.countries[name], self.countries[f"se_{name}"] ** -2.0
        q = float((weight * (own - np.average(own, weights=weight)) ** 2).sum())
        return float(stats.chi2.sf(q, len(own) - 1))


def with_many_people(
    parameters: SyntheticRegistryParameters, people: int = PEOPLE
) -> SyntheticRegistryParameters:
    """Return the same registry with so many people in every country, the smallest too."""
    return parameters.model_copy(
        update={"n_patients": people * len(COUNTRIES), "min_patients_per_country": people}
    )


def between_countries(
    parameters: SyntheticRegistryParameters, cohort: CohortParameters, people: int = PEOPLE
) -> Between:
    """Simulate many people in every country, and measure how countries differ.

    Args:
        parameters: of the registry; its sizes are replaced.
        cohort: how episodes are made.
        people: simulated in each country; a bit less than half have a labelled episode.
    """
    return measure_between(
        build_episodes(simulate(with_many_people(parameters, people)), cohort).episodes
    )


def measure_between(episodes: pd.DataFrame, seed: int = 0) -> Between:
    """Fit one model on half of the patients, and measure it by country on the other half.

    Args:
        episodes: the episodes table.
        seed: of the halves.
    """
    patients = episodes["patient_id"].unique()
    chosen = np.random.default_rng(seed).choice(patients, len(patients) // 2, replace=False)
    train = episodes["patient_id"].isin(chosen).to_numpy()
    x, y = _encoded(episodes, train), episodes["label"].to_numpy(dtype=np.int64)
    model = LogisticRegression(C=_INVERSE_PENALTY, solver="newton-cholesky", max_iter=50)
    risk = model.fit(x[train], y[train]).predict_proba(x[~train])[:, 1]
    test = episodes.loc[~train, ["country", "patient_id"]].assign(label=y[~train], risk=risk)
    rows = {}
    for country, own in test.groupby("country", observed=True, sort=True):
        patient, _ = pd.factorize(own["patient_id"])
        label, own_risk = own["label"].to_numpy(), own["risk"].to_numpy()
        auc, se_auc = clustered_roc_auc(label, own_risk, patient)
        observed, expected = label.mean(), own_risk.mean()
        share = (label - observed) / len(own)
        ratio = own_risk / own_risk.sum() - label / label.sum()
        rows[country] = {
            "patients": patient.max() + 1,
            "episodes": len(own),
            "prevalence": observed,
            "roc_auc": auc,
            "log_eo": float(np.log(expected / observed)),
            "se_prevalence": _clustered_error(share, patient),
            "se_roc_auc": se_auc,
            "se_log_eo": _clustered_error(ratio, patient),
        }
    pooled, _ = clustered_roc_auc(
        test["label"].to_numpy(), test["risk"].to_numpy(), pd.factorize(test["patient_id"])[0]
    )
    return Between(pd.DataFrame.from_dict(rows, orient="index"), pooled)


def clustered_roc_auc(
    label: NDArray[np.int64], risk: NDArray[np.float64], patient: NDArray[np.intp]
) -> tuple[float, float]:
    """ROC-AUC of episodes, and its standard error where a patient has several.

    Args:
        label: (n,) 0 or 1, both present.
        risk: (n,) what the model says.
        patient: (n,) codes 0, 1, ... of patients.

    >>> label, risk = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(clustered_roc_auc(label, risk, np.arange(4))[0], 2)
    0.75
    """
    positive = label == 1
    m, n = int(positive.sum()), int((~positive).sum())
    above = np.sort(risk[~positive])
    below = np.sort(risk[positive])
    component = np.empty(len(risk))
    for here, others, sign in ((positive, above, 1.0), (~positive, below, -1.0)):
        left = np.searchsorted(others, risk[here], side="left")
        right = np.searchsorted(others, risk[here], side="right")
        won = (left + right) / 2 / len(others)
        component[here] = won if sign > 0 else 1 - won
    auc = float(component[positive].mean())
    influence = (component - auc) / np.where(positive, m, n)
    return auc, _clustered_error(influence, patient)


def _clustered_error(influence: NDArray[np.float64], patient: NDArray[np.intp]) -> float:
    """Return the standard error of a sum of influences of episodes, which add up by patient."""
    sums = np.bincount(patient, influence)
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))


def _encoded(episodes: pd.DataFrame, train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Features standardized over training rows, baseline EDSS one-hot, what is missing."""
    x = episodes[list(FEATURES)].to_numpy(dtype=np.float64)
    mean, sd = np.nanmean(x[train], axis=0), np.nanstd(x[train], axis=0)
    standardized = np.nan_to_num((x - mean) / np.maximum(sd, 1e-9))
    levels = pd.get_dummies(episodes[_BASELINE].round(1)).to_numpy(dtype=np.float64)
    missing = np.isnan(x[:, np.isnan(x).any(axis=0)]).astype(np.float64)
    return np.hstack([standardized, levels, missing])
