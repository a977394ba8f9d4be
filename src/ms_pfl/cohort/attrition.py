"""From people in the registry to labelled episodes: who remains after each stage, by country."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

#: Where future visit days are counted that belong to nobody in the patients table.
UNKNOWN_COUNTRY = "(unknown)"


class Flow:
    """Which visit days remain, and what each stage that was passed has dropped.

    Attributes:
        kept: bool, which visit days remain.
    """

    def __init__(
        self, code: np.ndarray, country: np.ndarray, future: Mapping[str, int] | None = None
    ) -> None:
        """Start with everybody in the registry.

        Args:
            code: patient of each visit day, a position in `country`.
            country: of each patient.
            future: days with a visit in the future, by country: handed in and left out at ingest.
        """
        future_days = pd.Series(future or {}, dtype="int64")
        future_days = future_days[future_days > 0]
        self._countries = pd.Index(sorted({*country, *future_days.index}), dtype=object)
        self._country = self._countries.get_indexer(country)
        self._code = code
        self.kept = np.ones(len(code), dtype=bool)
        late = future_days.reindex(self._countries, fill_value=0).to_numpy()
        people, days = self._by_country(np.arange(len(country))), self._by_country(code)
        self._stages = [("Registry", "People in the registry", people, days + late)]
        if late.any():
            # Who has no other visit goes with the next stage, as everybody without one does.
            self._stages.append(("Dates", "Visit dated in the future", people, days))

    def _by_country(self, patients: np.ndarray) -> np.ndarray:
        """Count codes of patients by country."""
        return np.bincount(self._country[patients], minlength=len(self._countries))

    def keep(self, stage: str, reason: str, condition: np.ndarray) -> None:
        """Drop what does not meet a condition (bool, a visit day each), and count it."""
        self.kept = self.kept & condition
        remaining = self._code[self.kept]
        patients, days = self._by_country(np.unique(remaining)), self._by_country(remaining)
        self._stages.append((stage, reason, patients, days))

    def table(self) -> pd.DataFrame:
        """Stage, reason, patients, episodes, patients_dropped, episodes_dropped: a row per stage.

        The last row is what remains.
        """
        return self._counted({"": np.ones(len(self._countries), dtype=bool)}).iloc[:, 1:]

    def by_country(self) -> pd.DataFrame:
        """Return the same for each country, which comes first; the countries add up to
        :meth:`table`."""
        return self._counted({name: self._countries == name for name in self._countries})

    def _counted(self, groups: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Return what each stage leaves and drops of each group of countries (bool, a country
        each)."""
        stages = [*self._stages, ("Episodes", "Labelled episodes", *self._stages[-1][2:])]
        rows = [
            (name, stage, reason, patients[own].sum(), episodes[own].sum())
            for name, own in groups.items()
            for stage, reason, patients, episodes in stages
        ]
        text = ["country", "stage", "reason"]
        table = pd.DataFrame(rows, columns=[*text, "patients", "episodes"])
        counts = table.groupby("country", sort=False)[["patients", "episodes"]]
        dropped = -counts.diff().fillna(0).astype("int64")
        return table.join(dropped.add_suffix("_dropped")).astype(dict.fromkeys(text, "str"))


def future_days_by_country(by_patient: Mapping[str, int], country: pd.Series) -> dict[str, int]:
    """Count future visit days by country; those of nobody known go to :data:`UNKNOWN_COUNTRY`.

    Args:
        by_patient: how many days each patient had that were left out.
        country: by patient id.
    """
    days = pd.Series(by_patient, dtype="int64")
    lives = country.reindex(days.index).fillna(UNKNOWN_COUNTRY)
    counted = days.groupby(lives.to_numpy(dtype=object)).sum()
    return {UNKNOWN_COUNTRY: 0} | {str(name): int(n) for name, n in counted.items()}
