"""Settings of the comparison."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import PARADIGMS, STRATEGIES, references_of

Threshold = Annotated[float, Field(gt=0, lt=1)]
Margin = Annotated[float, Field(gt=0)]


class PrimaryParameters(Section):
    """The comparisons that are planned as primary; all others are exploratory."""

    strategy: str = Field(description="of the models that are compared")
    pairs: tuple[tuple[str, str], ...] = Field(
        min_length=1, description="a paradigm and what it is compared with"
    )
    metrics: tuple[str, ...] = Field(min_length=1, description="pooled over all test patients")

    @model_validator(mode="after")
    def _is_planned(self) -> Self:
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"Parameter 'comparison.primary.strategy' = {self.strategy!r}: there is no such "
                f"strategy; there are: {', '.join(STRATEGIES)}"
            )
        for paradigm, reference in self.pairs:
            known = references_of(paradigm) if paradigm in PARADIGMS else None
            if known is None or reference not in known:
                what = f"it is compared with: {', '.join(known)}" if known else "it is no paradigm"
                what = "it is compared with nothing" if known == [] else what
                raise ValueError(
                    f"Parameter 'comparison.primary.pairs': {paradigm!r} is not compared with "
                    f"{reference!r}; {what}"
                )
        for metric in self.metrics:
            _check_metric("primary.metrics", metric)
        return self


class ComparisonParameters(Section):
    """Uncertainty and verdicts of the comparison; the ``comparison`` block of the configuration."""

    replicates: int = Field(ge=100, description="draws of patients of the bootstrap")
    seed: int = Field(ge=0, description="of the draws")
    thresholds: tuple[Threshold, ...] = Field(
        min_length=1, description="probabilities from which on one would act (net benefit)"
    )
    primary: PrimaryParameters | None = Field(
        default=None, description="comparisons planned as primary; null: all are exploratory"
    )
    margin: dict[str, Margin] = Field(
        default_factory=dict, description="by metric, the largest difference that does not matter"
    )

    good: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="by metric, the lowest and highest value that is good performance",
    )

    @field_validator("good")
    @classmethod
    def _are_ranges(cls, good: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        known = [name for name, row in METRICS.items() if row.between is not None]
        for metric, (low, high) in good.items():
            if metric not in known:
                raise ValueError(
                    f"Parameter 'comparison.good': no further country is expected by {metric!r}; "
                    f"it is by: {', '.join(known)}"
                )
            if not low < high:
                raise ValueError(
                    f"Parameter 'comparison.good.{metric}' = {[low, high]}: give the lowest value "
                    "and then the highest"
                )
        return good

    @field_validator("margin")
    @classmethod
    def _of_metrics(cls, margin: dict[str, float]) -> dict[str, float]:
        for metric in margin:
            _check_metric("margin", metric)
        return margin


def _check_metric(place: str, metric: str) -> None:
    """Refuse a metric that is unknown or has no better side."""
    known = [name for name, row in METRICS.items() if abs(row.sign) == 1]
    if metric not in known:
        raise ValueError(
            f"Parameter 'comparison.{place}': no difference in {metric!r} is better or worse; of "
            f"these it is: {', '.join(known)}"
        )
