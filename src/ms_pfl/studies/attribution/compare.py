"""Which features each model uses, by country, and where a personal model uses others.

Read off the importance table alone. A profile is the shares of the feature groups in a model's
importance; two profiles lie ``sum |a - b| / 2`` apart (total variation): 0 where both models use
the groups alike, 1 where they share none; in between it is the share of importance that moved.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.paradigms import PARADIGMS, Training, model_name, models_in_order

#: The model that personal ones are compared with.
GLOBAL = "federated"
#: A country stands out where more than this share of importance moved ...
SMALLEST = 0.1
#: ... and more than so many times what moves by chance.
TIMES_NOISE = 2.0
BY_COUNTRY_COLUMNS = [
    "paradigm",
    "strategy",
    "country",
    "n_episodes",
    "distance",
    "elsewhere",
    "noise",
    "noise_paired",
    "stands_out",
    "top_group_global",
    "top_group_personal",
]
_MODEL = ["paradigm", "strategy"]


def asked() -> list[Training]:
    """Return the study's global model, then the personal ones that are compared with it.

    One strategy of each, the first, as the strategies of a paradigm differ little in what their
    models use.
    """
    return [
        Training(row.name, row.strategies[0])
        for role in ("global", "personalized")
        for row in PARADIGMS.values()
        if row.role == role and row.family == "study" and row.program is not None
    ]


def mean_importance(importance: pd.DataFrame) -> pd.DataFrame:
    """Average the importance of each group over permutations and seeds.

    Seeds count by their test episodes: of one with few, the log-loss is the more uncertain.

    Args:
        importance: the table of :func:`ms_pfl.studies.attribution.importance.importance`.

    Returns:
        One row per model, country (``""``: all together) and group, models in the order of Table 1,
        countries and groups in that of the table: paradigm, strategy, country, group, increase
        (nats), low and high (the lowest and highest seed), share (of the country's profile: the
        increases that are above 0, divided by their sum; NaN where none is), n_episodes (mean over
        seeds).

    >>> rows = pd.DataFrame({
    ...     "paradigm": "federated", "strategy": "fedavg", "seed": 0, "country": "Malta",
    ...     "group": ["EDSS", "Sex", "Age"], "repeat": 0, "increase": [0.3, -0.1, 0.1],
    ...     "n_episodes": 9,
    ... })
    >>> mean_importance(rows)["share"].round(2).tolist()
    [0.75, 0.0, 0.25]
    """
    groups = list(dict.fromkeys(importance["group"]))
    frames = []
    for paradigm, strategy, country, own in _by_model_and_country(importance, groups):
        of_seeds = own.increase.mean(axis=1)
        increase = own.mean()
        frames.append(
            pd.DataFrame(
                {
                    "paradigm": paradigm,
                    "strategy": strategy,
                    "country": country,
                    "group": groups,
                    "increase": increase,
                    "low": of_seeds.min(axis=0),
                    "high": of_seeds.max(axis=0),
                    "share": profile(increase),
                    "n_episodes": float(own.weight.mean()),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def compare_by_country(importance: pd.DataFrame) -> pd.DataFrame:
    """Measure how far each country's personal model is from the global one in what it uses.

    The global model is the federated one of the same strategy, asked about the same test episodes.
    Two yardsticks stand beside the distance. Both come from halves of the seeds (each its own
    patients and initial weights), as means over the ways to cut the circle of seeds in two; where
    the table has one seed, from halves of its permutations, which tell nothing of other patients.

    * ``noise``: how far *one* model's profiles from two halves lie apart (the personal or the
      global model's, whichever is more). Mostly it tells that other patients were tested.
    * ``noise_paired``: how far the two halves' *differences* of personal and global profile lie
      apart. Both models saw the same patients, so that what these change in both cancels: where
      the personal model uses other features in every split, it is far below the distance.

    **Rule:** a country stands out where its distance is above a tenth, above the distance over all
    other countries together (what sets the two kinds of model apart everywhere is no country's),
    and above twice ``noise_paired``. Of two models that differ by chance alone, the distance is
    about half of ``noise_paired``; of 1,000 such countries about 2 stand out with three seeds and
    15 with two (eleven groups; the fewer, the more: 30 with three groups and seeds). A country that
    was tested in one of several seeds has no halves and does not stand out.

    A group that misleads a model lowers its loss when it is shuffled, and has no share: a global
    model which leans on a group where that group is of no use does not seem to use it there.

    Args:
        importance: the table of :func:`ms_pfl.studies.attribution.importance.importance`.

    Returns:
        One row a personal model and country, the largest distance first: paradigm, strategy,
        country, n_episodes (test episodes, mean over seeds), distance (in [0, 1]; NaN where no
        group raises the loss), elsewhere (that over all other countries' episodes together), noise,
        noise_paired, stands_out, top_group_global and top_group_personal (the group with the
        largest share; empty without a profile).

    Raises:
        InputError: the models of a country are not of the same seeds and permutations.
    """
    groups = list(dict.fromkeys(importance["group"]))
    local = importance[importance["country"] != ""]
    found = {(p, s, c): own for p, s, c, own in _by_model_and_country(local, groups)}
    records = []
    for (paradigm, strategy, country), personal in found.items():
        reference = found.get((GLOBAL, strategy, country))
        if paradigm == GLOBAL or reference is None:
            continue
        if personal.increase.shape != reference.increase.shape:
            raise InputError(
                f"importance: {model_name(paradigm, strategy)} and the federated model were asked "
                f"with other seeds or permutations in {country}; compute the table again"
            )
        ours, theirs = profile(personal.mean()), profile(reference.mean())
        distance = total_variation(ours, theirs)
        elsewhere = total_variation(
            _of_others(found, (paradigm, strategy), country),
            _of_others(found, (GLOBAL, strategy), country),
        )
        noise, paired = _noise(personal, reference, importance["seed"].nunique() > 1)
        # where there is no other country, nothing is to be exceeded there
        least = np.max([SMALLEST, np.nan_to_num(elsewhere), TIMES_NOISE * paired])
        records.append(
            (
                paradigm,
                strategy,
                country,
                float(personal.weight.mean()),
                distance,
                elsewhere,
                noise,
                paired,
                bool(distance > least),  # never above the NaN that np.max makes of a NaN
                _top(theirs, groups),
                _top(ours, groups),
            )
        )
    table = pd.DataFrame.from_records(records, columns=BY_COUNTRY_COLUMNS)
    texts = [*_MODEL, "country", "top_group_global", "top_group_personal"]
    table = table.astype(dict.fromkeys(texts, "str") | {"stands_out": "bool"})
    # ties, and what is not known, in the order of models and countries
    return table.sort_values("distance", ascending=False, kind="stable", ignore_index=True)


def share_differences(importance: pd.DataFrame) -> pd.DataFrame:
    """Subtract the global model's shares from each personal model's, country by country.

    Args:
        importance: the table of :func:`ms_pfl.studies.attribution.importance.importance`.

    Returns:
        One row a personal model, country and group: paradigm, strategy, country, group, difference
        (in [-1, 1]; NaN where either model has no profile).
    """
    table = mean_importance(importance[importance["country"] != ""])
    is_global = table["paradigm"] == GLOBAL
    keys = ["strategy", "country", "group"]
    base = table.loc[is_global, [*keys, "share"]].rename(columns={"share": "global"})
    paired = table[~is_global].merge(base, on=keys, how="inner", validate="many_to_one")
    paired["difference"] = paired["share"] - paired["global"]
    return paired[[*_MODEL, "country", "group", "difference"]]


def profile(increase: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the increases above 0, shape ``(groups,)``; all NaN where none is above 0.

    A fall of the loss under shuffling is chance, or a group that misleads: it is no use.

    >>> profile(np.array([0.3, -0.1, 0.1])).round(2).tolist()
    [0.75, 0.0, 0.25]
    """
    used = np.clip(increase, 0.0, None)
    total = float(used.sum())
    return used / total if total > 0 else np.full(len(used), np.nan)


def total_variation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Half the sum of absolute differences of two profiles, in [0, 1]; NaN where one is NaN.

    >>> total_variation(np.array([0.75, 0.25]), np.array([0.5, 0.5]))
    0.25
    """
    return 0.5 * float(np.abs(a - b).sum())


@dataclass(frozen=True)
class _Increases:
    """Of a model and country: ``increase`` (seeds, repeats, groups) and ``weight`` (seeds,)."""

    increase: NDArray[np.float64]
    weight: NDArray[np.float64]

    def mean(self) -> NDArray[np.float64]:
        """Over permutations, then over seeds by their episodes; shape ``(groups,)``."""
        return self.total() / self.weight.sum()

    def total(self) -> NDArray[np.float64]:
        """Rise of the loss summed over test episodes and seeds; shape ``(groups,)``."""
        return np.asarray(self.weight @ self.increase.mean(axis=1))

    def half(self, part: NDArray[np.intp], by_seeds: bool) -> NDArray[np.float64]:
        """Return the profile of some of the seeds, or of some of the permutations."""
        own = (
            _Increases(self.increase[part], self.weight[part])
            if by_seeds
            else _Increases(self.increase[:, part], self.weight)
        )
        return profile(own.mean())


def _noise(personal: _Increases, reference: _Increases, by_seeds: bool) -> tuple[float, float]:
    """``noise`` and ``noise_paired`` of :func:`compare_by_country`; NaN without two halves."""
    distances = []
    for halves in _halves(personal.increase.shape[0 if by_seeds else 1]):
        ours, theirs = (
            [model.half(part, by_seeds) for part in halves] for model in (personal, reference)
        )
        paired = total_variation(ours[0] - theirs[0], ours[1] - theirs[1])
        distances.append((total_variation(*ours), total_variation(*theirs), paired))
    known = [own for own in distances if not np.isnan(own).any()]
    if not known:
        return float("nan"), float("nan")
    of_personal, of_global, paired = np.mean(known, axis=0)
    return float(max(of_personal, of_global)), float(paired)


def _of_others(
    found: Mapping[tuple[str, str, str], _Increases], model: tuple[str, str], country: str
) -> NDArray[np.float64]:
    """Return a model's profile over all countries' episodes but one's; NaN where there is no
    other."""
    others = [own for key, own in found.items() if key[:2] == model and key[2] != country]
    return profile(np.sum([own.total() for own in others], axis=0)) if others else np.array(np.nan)


def _halves(n: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Ways to cut ``0 ... n - 1``, closed to a circle, in two halves, for odd n all but equal."""
    return [
        (np.arange(start, start + n // 2) % n, np.arange(start + n // 2, start + n) % n)
        for start in range(n if n % 2 else n // 2)
        if n > 1
    ]


def _by_model_and_country(
    importance: pd.DataFrame, groups: list[str]
) -> Iterator[tuple[str, str, str, _Increases]]:
    """Each model's and country's increases, models in the order of Table 1."""
    ordered = importance.assign(group=pd.Categorical(importance["group"], categories=groups))
    ordered = ordered.sort_values(["seed", "repeat", "group"])
    parts = dict(list(ordered.groupby([*_MODEL, "country"])))
    countries = importance["country"].unique()
    for paradigm, strategy in models_in_order(importance):
        for country in countries:
            rows = parts.get((paradigm, strategy, country))
            if rows is not None:
                episodes = rows.groupby("seed")["n_episodes"].first().to_numpy(dtype=np.float64)
                increase = rows["increase"].to_numpy(dtype=np.float64)
                shaped = increase.reshape(len(episodes), -1, len(groups))
                yield paradigm, strategy, country, _Increases(shaped, episodes)


def _top(shares: NDArray[np.float64], groups: list[str]) -> str:
    return "" if np.isnan(shares).any() else groups[int(shares.argmax())]
