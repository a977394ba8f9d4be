"""Write the reference of all commands from pipelines, environments, Makefile and scripts."""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

from markdown_text import code, linked, prose, table
from ms_pfl.deployment.commands import command_parser
from ms_pfl.pipeline_registry import register_pipelines
from yaml_comments import first_comment

#: What each pipeline of the registry does.
PIPELINES = {
    "__default__": "the same as `pfl`: `kedro run` without `--pipeline`",
    "pfl": "the main job: registry, cohort, the five paradigms of the study, comparison and report",
    "further_methods": (
        "`pfl` with the further methods: private intercept, proximal copy, SCAFFOLD, logistic "
        "regression and boosted trees ([federation](federation.md#further-methods))"
    ),
    "modelling": (
        "`pfl` from a multi-site table, or from the episodes of an earlier run ([own "
        "data](own-data.md))"
    ),
    "synthetic_registry": "simulate a registry ([synthetic registry](synthetic-registry.md))",
    "preprocessing": (
        "read the four tables, label the episodes, split the patients ([cohort](cohort.md))"
    ),
    "check_tables": (
        "look at tables without training: what stands in the way, and settings to paste "
        "([ingest](ingest.md#check-tables-before-anything-is-trained))"
    ),
    "own_data": "read a multi-site table and split its patients ([own data](own-data.md))",
    "training": "train all paradigms of the study",
    "predictor": "choose the models that score new patients ([prediction](prediction.md))",
    "prediction": "score new patients with the predictor ([prediction](prediction.md))",
    "evaluation": "score the predictions and compare the models ([comparison](comparison.md))",
    "attribution": "measure what the models use ([comparison](comparison.md))",
    "coefficients": (
        "odds ratios and shape curves of the logistic regressions ([coefficients](coefficients.md))"
    ),
    "reporting": "write tables, figures and the report",
    "recording": (
        "record a finished run in MLflow from what lies in `data/` ([failures](failures.md))"
    ),
    "audit": "measure what each published protocol choice is worth ([audit](audit.md))",
    "heterogeneity": (
        "train on registries whose countries differ more and more ([synthetic "
        "registry](synthetic-registry.md))"
    ),
    "new_country": "leave countries out of the federation ([new country](new-country.md))",
    "new_country_further": "the same after `further_methods`, for all of its strategies",
    "centralized": "train one paradigm: all patients pooled",
    "local": "train one paradigm: each country by itself",
    "federated": "train one paradigm: one global model",
    "fine_tuned": "train one paradigm: the global model, trained on by each country",
    "adaptive": "train one paradigm: a shared core with a personal extension branch",
}
_INTRODUCTION = """# Commands

This page is for whoever looks for the command that does something: pipelines, environments,
options, and the scripts beside them. It is made from the pipelines, from `conf/`, from the
`Makefile` and from the scripts themselves.

After `make environment`, activate the environment: `source .venv/bin/activate`.
"""
_OPTIONS = """## Options of kedro run

| option | what it does |
| --- | --- |
| `--env=NAME` | read `conf/NAME` over `conf/base`, in place of `conf/local` |
| `--params=NAME=VALUE,...` | set [parameters](parameters.md), separated by commas |
| `--tags=fedprox` | only the steps with a tag: a strategy, a paradigm |
| `--namespaces=adaptive` | only the steps of a paradigm or a stage ([steps](steps.md)) |
| `--only-missing-outputs` | skip [outputs that are there](steps.md#only-missing-outputs) |
| `--to-outputs=splits` | run up to a [dataset](datasets.md) |

Other commands of Kedro work as usual: `kedro registry list`, `kedro viz run`, `kedro ipython`.
"""


def commands_page(project: Path) -> str:
    """Return the page.

    Args:
        project: the folder of the checkout.

    Raises:
        ValueError: a pipeline is registered and not described, or the other way round.
    """
    registered = set(register_pipelines())
    if different := registered ^ set(PIPELINES):
        raise ValueError(f"PIPELINES of {__file__} and the registry differ: {sorted(different)}")
    parts = [_INTRODUCTION]
    parts += ["## Pipelines\n\n" + table(["command", "what it does"], [
        [code(f"kedro run --pipeline={name}"), text] for name, text in PIPELINES.items()
    ]) + "\n"]  # fmt: skip
    parts += [_OPTIONS, _environments(project), _make(project), _site(), _scripts(project)]
    return "\n".join(parts)


def _environments(project: Path) -> str:
    rows = []
    for path in sorted((project / "conf").glob("*/parameters.yml")):
        if path.parent.name not in ("base", "local"):
            text = prose(" ".join(first_comment(path.read_text(encoding="utf-8"))))
            rows.append([code(f"--env={path.parent.name}"), linked(text)])
    return f"## Environments\n\n{table(['option', 'what it sets'], rows)}\n"


def _make(project: Path) -> str:
    targets = re.findall(
        r"^([a-z-]+):.*?## (.+)$", (project / "Makefile").read_text(), re.MULTILINE
    )
    rows = [[code(f"make {name}"), prose(text)] for name, text in targets]
    return f"## make\n\n{table(['command', 'what it does'], rows)}\n"


def _site() -> str:
    """Return the commands of a site's people, from the parser that reads them."""
    (commands,) = (
        action
        for action in command_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    rows = [
        [code(f"python -m ms_pfl site {action.dest}"), prose(action.help or "")]
        for action in commands._choices_actions
    ]
    return (
        "## At a site\n\nFor the people of a [site](site_policy.md).\n\n"
        f"{table(['command', 'what it does'], rows)}\n"
    )


def _scripts(project: Path) -> str:
    """Return the scripts that a person starts, with the first line of what each says of itself."""
    rows = []
    for folder in ("src/ms_pfl/registry/importers", "deploy", "benchmarks"):
        for path in sorted((project / folder).glob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "__main__" in text:
                about = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
                module = (
                    ".".join(path.relative_to(project / "src").with_suffix("").parts)
                    if folder.startswith("src")
                    else ""
                )
                command = f"python -m {module}" if module else f"python {path.relative_to(project)}"
                rows.append([code(command), prose(about)])
    shell = sorted((project / "deploy").glob("*.sh"))
    rows += [
        [code(f"deploy/{path.name}"), prose(first_comment(path.read_text())[0])] for path in shell
    ]
    return f"## Scripts\n\n{table(['command', 'what it does'], rows)}\n"
