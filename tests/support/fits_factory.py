"""Predictions, histories and episodes in the project's contracts, made from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

COUNTRIES = {
    "Australia": 60, "Belgium": 45, "Côte d'Ivoire": 6, "Denmark": 30, "Estonia": 12, "Fiji": 2,
    "Türkiye": 50,
}  # fmt: skip
STRATEGIES = ("fedavg", "fedprox")
MODELS = [
    ("centralized", "pooled"),
    ("local", "none"),
    *((p, s) for s in STRATEGIES for p in ("federated", "fine_tuned", "adaptive")),
]
# how far a paradigm's score separates the classes, in standard deviations of its noise
SKILL = {
    "centralized": 1.2,
    "local": 0.6,
    "federated": 1.0,
    "fine_tuned": 1.4,
    "adaptive": 1.3,
}


def make_episodes(countries: dict[str, int] = COUNTRIES, seed: int = 0) -> pd.DataFrame:
    """About five episodes a patient; Fiji has no positive one."""
    rng = np.random.default_rng(seed)
    rows = []
    for country, n_patients in countries.items():
        for i in range(n_patients):
            positive = 0.0 if country == "Fiji" else 0.25
            for j in range(int(rng.integers(1, 10))):
                patient = f"{country}-{i:03d}"
                rows.append((f"{patient}@{j}", patient, country, int(rng.random() < positive)))
    episodes = pd.DataFrame(rows, columns=["episode_id", "patient_id", "country", "label"])
    return episodes.astype({"label": "int8"})


def make_predictions(
    episodes: pd.DataFrame, seeds: tuple[int, ...] = (0, 1, 2), models: list = MODELS
) -> pd.DataFrame:
    """Every model on the same validation and test patients of each seed."""
    frames = []
    for seed in seeds:
        rng = np.random.default_rng(100 + seed)
        patients = np.sort(episodes["patient_id"].unique())
        names = rng.choice(["train", "validation", "test"], len(patients), p=[0.5, 0.2, 0.3])
        split = episodes["patient_id"].map(dict(zip(patients, names, strict=True)))
        held_out = episodes.assign(split=split)[split != "train"]
        for paradigm, strategy in models:
            logit = SKILL[paradigm] * (held_out["label"] - 0.5) + rng.normal(size=len(held_out))
            frames.append(
                held_out.assign(
                    paradigm=paradigm,
                    strategy=strategy,
                    seed=seed,
                    probability=1 / (1 + np.exp(1 - logit)),
                )
            )
    columns = ["paradigm", "strategy", "seed", "country", "patient_id", "episode_id", "split"]
    return pd.concat(frames, ignore_index=True)[[*columns, "label", "probability"]]


def make_history(
    countries: dict[str, int] = COUNTRIES,
    seeds: tuple[int, ...] = (0, 1, 2),
    models: list = MODELS,
    rounds: int = 12,
) -> pd.DataFrame:
    """Falling losses; local and fine-tuned countries stop at epochs of their own."""
    rng = np.random.default_rng(7)
    frames = []
    for paradigm, strategy in models:
        own = {"all": sum(countries.values())} if paradigm == "centralized" else countries
        stops_alone = paradigm in ("local", "fine_tuned")
        for seed in seeds:
            for country, size in own.items():
                last = int(rng.integers(3, rounds + 1)) if stops_alone else rounds
                first = 0 if paradigm == "fine_tuned" else 1
                steps = np.arange(first, last + 1)
                used = last - 1 if stops_alone else rounds - 2
                n_validation = 0 if country == "Fiji" else 2 * size
                loss = 0.4 + 0.3 * np.exp(-steps / 4) + 0.01 * rng.random(len(steps))
                auc = 0.75 - 0.2 * np.exp(-steps / 4) + 0.01 * rng.random(len(steps))
                frames.append(
                    pd.DataFrame(
                        {
                            "paradigm": paradigm,
                            "strategy": strategy,
                            "seed": seed,
                            "round": steps,
                            "country": country,
                            "n_train": 5 * size,
                            "n_validation": n_validation,
                            "train_loss": loss - 0.02,
                            "validation_loss": loss if n_validation else np.nan,
                            "validation_roc_auc": auc if n_validation else np.nan,
                            "seconds": 0.5,
                            "bytes_up": 0 if stops_alone else 4000,
                            "bytes_down": 4000,
                            "selected": steps == used,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def make_importance(countries: dict[str, int] = COUNTRIES) -> pd.DataFrame:
    """Belgium's adaptive model looks at treatment; all others look at the EDSS alike."""
    rng = np.random.default_rng(3)
    groups = {"EDSS level": 0.06, "Treatment": 0.02, "Sex": 0.002}
    rows = []
    for paradigm in ("federated", "fine_tuned", "adaptive"):
        for country, size in countries.items():
            swapped = paradigm == "adaptive" and country == "Belgium"
            values = [0.02, 0.06, 0.002] if swapped else list(groups.values())
            for seed in (0, 1, 2):
                for repeat in range(6):
                    for group, value in zip(groups, values, strict=True):
                        noise = 0.002 * rng.normal()
                        rows.append(
                            (paradigm, "fedavg", seed, country, repeat, group, value + noise, size)
                        )
    columns = ["paradigm", "strategy", "seed", "country", "repeat", "group", "increase"]
    table = pd.DataFrame(rows, columns=[*columns, "n_episodes"])
    keys = ["paradigm", "strategy", "seed", "repeat", "group"]
    weighted = table.assign(increase=table["increase"] * table["n_episodes"])
    together = weighted.groupby(keys, sort=False)[["increase", "n_episodes"]].sum().reset_index()
    together["increase"] /= together["n_episodes"]
    return pd.concat([table, together.assign(country="")], ignore_index=True)
