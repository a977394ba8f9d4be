"""Between-country sd of one model's ROC-AUC and log(E/O) on the synthetic registry.

``python benchmarks/between_countries.py --env=base --knob=1`` simulates many people in every
country, fits a pooled logistic regression, and prints tau(ROC-AUC) and the sd of prevalence and of
log(expected / observed) with sampling error taken out (:mod:`realism.between_countries`). It takes
half a minute a registry on one core.
"""

from __future__ import annotations

import argparse

from ms_pfl.studies.heterogeneity.registries import with_common_knob
from realism.between_countries import PEOPLE, Between, between_countries
from support import read_parameters


def line(found: Between) -> str:
    """Return the figures in one line."""
    errors = found.countries
    return (
        f"pooled ROC-AUC {found.pooled_roc_auc:.3f}; tau(ROC-AUC) {found.sd('roc_auc'):.4f} "
        f"(standard error of a country {errors['se_roc_auc'].mean():.4f}, homogeneous p = "
        f"{found.p_homogeneous('roc_auc'):.3f}); sd of prevalence {found.sd('prevalence'):.4f}, "
        f"mean {errors['prevalence'].mean():.4f}; sd of log(E/O) {found.sd('log_eo'):.3f} "
        f"(standard error {errors['se_log_eo'].mean():.3f})"
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the figures of each environment, knob and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", nargs="+", default=["base"], help="folders of conf/")
    parser.add_argument("--knob", nargs="+", type=float, default=[1.0], help="common factor")
    parser.add_argument("--seed", nargs="+", type=int, help="of the registry")
    parser.add_argument("--people", type=int, default=PEOPLE, help="simulated in each country")
    chosen = parser.parse_args(arguments)
    for env in chosen.env:
        parameters = read_parameters(env)
        registry = parameters.synthetic_registry
        for knob in chosen.knob:
            for seed in chosen.seed or [registry.seed]:
                own = with_common_knob(registry.model_copy(update={"seed": seed}), knob)
                found = between_countries(own, parameters.cohort, chosen.people)
                print(f"{env}, knobs x {knob:g}, seed {seed}: {line(found)}", flush=True)


if __name__ == "__main__":
    main()
