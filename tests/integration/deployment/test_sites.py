"""A federation of sites gives the results of the simulation, bit by bit, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from in_process_flower import FakeNode, Flower
from ms_pfl.deployment.security_log import NAME, TamperedLogError, verify
from ms_pfl.errors import InputError
from ms_pfl.federation.checkpoints import read_arrays
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Array, Message
from ms_pfl.federation.grids.sites import SiteLostError
from ms_pfl.training.simulation import Outcome
from site_examples import COUNTRIES, Sites, assert_same


def of_the_server(outcome: Outcome) -> set[str]:
    """Names of the arrays that the server writes: those of no single site."""
    return {name for name in outcome.models if "/personal/" not in name} - {"stamp"}


def enough_of_both(rows: pd.DataFrame) -> bool:
    """Whether ten patients of some rows have the outcome, and ten lack it."""
    return bool(min(rows.groupby("label")["patient_id"].nunique()) >= 10)


def cut_off_in_round_two(sites: Sites, paradigm: str) -> Flower:
    """A run that has ended with the Czech Republic away in the second round; it is back."""

    def happening(flower: Flower, node: int, message: Message) -> str | None:
        config = message.content.config_records["config"]
        if message.metadata.message_type == "train" and config["server-round"] == 2 and node == 11:
            flower.sites[11].online = False
            return "lost"
        return None

    flower = sites.flower(happening)
    with pytest.raises(SiteLostError):
        sites.run(flower, paradigm, wait_for_sites=0.2)
    flower.new_run()
    flower.restart(11)
    flower.happening = lambda *_: None
    flower.answered.clear()
    return flower


def test_the_adaptive_paradigm(sites: Sites) -> None:
    flower = sites.flower()
    folder = sites.run(flower, "adaptive", sums="plain")
    outcome = sites.simulate("adaptive")
    assert_same(sites, "adaptive.fedavg", outcome)
    shared = read_arrays(folder / "models.safetensors")[0]
    assert shared.keys() == of_the_server(outcome)
    metrics = pd.read_csv(folder / "metrics.csv")
    test = outcome.predictions[outcome.predictions["split"] == "test"]
    for (seed, country), rows in test.groupby(["seed", "country"]):
        told = metrics[
            (metrics["seed"] == seed) & (metrics["country"] == country)
            & (metrics["split"] == "test")
        ].iloc[0]  # fmt: skip
        assert told["n_episodes"] == len(rows)
        if enough_of_both(rows):
            assert told["n_positive"] == rows["label"].sum()
        else:
            assert np.isnan(told["n_positive"])
            assert np.isnan(told["roc_auc"])
        gap = rows["label"] - rows["probability"]
        assert told["brier"] == pytest.approx(float((gap**2).mean()), rel=1e-12)
    assert len(metrics) == 2 * len(COUNTRIES) * 2
    history = pd.read_csv(folder / "history.csv")
    kept = outcome.history.drop(columns=["paradigm", "strategy", "seconds"])
    order = ["seed", "round", "country"]
    predicted = outcome.predictions[outcome.predictions["split"] == "validation"]
    told_of = predicted.groupby(["seed", "country"])[["patient_id", "label"]].apply(enough_of_both)
    hidden = ~told_of.loc[list(zip(kept["seed"], kept["country"], strict=True))].to_numpy()
    assert 0 < hidden.sum() < len(kept), "Turkey has few patients with the outcome"
    kept.loc[hidden, "validation_roc_auc"] = np.nan
    pd.testing.assert_frame_equal(
        history[kept.columns].sort_values(order, ignore_index=True), kept, check_dtype=False
    )
    told = json.loads((folder / "run.json").read_text())
    assert set(told["sites"]) == set(COUNTRIES)
    assert not (sites.output / "unfinished" / "adaptive.fedavg").exists()
    assert not list(sites.output.glob("unfinished/*"))


def test_fine_tuning_goes_on_from_the_rounds(sites: Sites) -> None:
    sites.run(sites.flower(), "fine_tuned")
    for paradigm in ("federated", "fine_tuned"):
        assert_same(sites, f"{paradigm}.fedavg", sites.simulate(paradigm))


@pytest.mark.parametrize("paradigm", ["private_intercept", "proximal_copy", "scaffold"])
def test_the_further_methods(sites: Sites, paradigm: str) -> None:
    flower = sites.flower()
    folder = sites.run(flower, paradigm)
    outcome = sites.simulate(paradigm)
    assert_same(sites, f"{paradigm}.fedavg", outcome)
    shared = read_arrays(folder / "models.safetensors")[0]
    assert shared.keys() == of_the_server(outcome)
    sent = [reply for _, reply in flower.sent if reply.metadata.message_type == "train"]
    assert len(sent) == 2 * 3 * len(COUNTRIES)
    records = {"arrays", "control"} if paradigm == "scaffold" else {"arrays"}
    names = {name.rpartition("/")[2] for name in outcome.models if "/shared/" in name}
    for reply in sent:
        found = reply.content.array_records
        assert found.keys() == records | {"scored", "fitted"}
        assert all(set(found[record]) == names for record in records)
    assert ("output.bias" in names) == (paradigm != "private_intercept")


@pytest.mark.parametrize("paradigm", ["federated", "local", "fine_tuned", "adaptive"])
def test_logistic_regression(sites: Sites, paradigm: str) -> None:
    flower = sites.flower()
    folder = sites.run(flower, paradigm, strategy="logistic")
    outcome = sites.simulate(paradigm, "logistic")
    assert_same(sites, f"{paradigm}.logistic", outcome)
    shared = read_arrays(folder / "models.safetensors")[0]
    started = {name for name in shared if "/shared/" in name and paradigm == "fine_tuned"}
    assert shared.keys() == of_the_server(outcome) | started
    arrays = {
        name
        for _, reply in flower.sent
        for record in reply.content.array_records.values()
        for name in record
    }
    steps = set() if paradigm == "local" else {"gradient", "hessian", "loss"}
    last = {"adaptive": {"square"}, "local": set()}.get(paradigm, {"meat"})
    scores = {"validation", "test"}
    assert arrays == {"n", "sum", "sum-of-squares"} | steps | last | scores
    if paradigm == "federated":
        name = "seed=0/covariance/clustered"
        assert np.array_equal(shared[name], outcome.models[name])


@pytest.mark.parametrize("paradigm", ["proximal_copy", "scaffold"])
def test_private_state_lasts_where_a_run_ends_and_is_given_again(
    sites: Sites, paradigm: str
) -> None:
    flower = cut_off_in_round_two(sites, paradigm)
    sites.run(flower, paradigm)
    trained = [node for kind, node in flower.answered if kind == "train"]
    assert len(trained) == (2 + 3) * len(COUNTRIES), "from the second round of the first seed"
    assert_same(sites, f"{paradigm}.fedavg", sites.simulate(paradigm))


def test_each_site_alone(sites: Sites) -> None:
    folder = sites.run(sites.flower(), "local")
    assert_same(sites, "local.none", sites.simulate("local"))
    names = read_arrays(folder / "models.safetensors")[0]
    assert not [name for name in names if "/shared/" in name or "/personal/" in name]


@pytest.mark.parametrize("how", ["lost", "unanswered"])
def test_a_site_that_dies_at_its_work_is_asked_again(sites: Sites, how: str) -> None:
    died: list[str] = []

    def happening(flower: Flower, node: int, message: Message) -> str | None:
        kind = message.metadata.message_type
        if node != sites.numbers["Turkey"] or died.count(kind) or kind == "query.introduce":
            return None
        died.append(kind)
        if how == "lost":
            flower.restart(node)  # before it has worked
        else:
            flower.sites[node].starts += 1
        return how

    flower = sites.flower(happening)
    sites.run(flower, "adaptive", answer_within=60.0)
    assert {"query.sums", "query.prepare", "train", "evaluate", "query.predict"} <= set(died)
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))


def test_the_round_waits_for_a_site_that_is_away(sites: Sites) -> None:
    looks = {"n": 0}

    def happening(flower: Flower, node: int, message: Message) -> str | None:
        if message.metadata.message_type == "train" and node == 405 and not looks["n"]:
            flower.sites[405].online = False
            return "lost"
        return None

    flower = sites.flower(happening)
    there = flower.get_nodes

    def get_nodes() -> list[object]:
        if not flower.sites[405].online:
            looks["n"] += 1
            if looks["n"] == 5:
                flower.restart(405)
        return there()

    flower.get_nodes = get_nodes  # type: ignore[method-assign]
    sites.run(flower, "adaptive")
    assert looks["n"] >= 5
    trained = [node for kind, node in flower.answered if kind == "train"]
    assert trained.count(907) == trained.count(405) == 3 * 2, "the others work once a round"
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))


def test_a_site_that_stays_away_ends_the_run_which_goes_on_later(sites: Sites) -> None:
    trained = {"n": 0}

    def happening(flower: Flower, node: int, message: Message) -> str | None:
        if message.metadata.message_type == "train" and node == 11:
            trained["n"] += 1
            if trained["n"] == 5:  # the second round of the second seed
                flower.sites[11].online = False
                return "lost"
        return None

    flower = sites.flower(happening)
    with pytest.raises(SiteLostError, match=r"^Czech Republic went away .* run again"):
        sites.run(flower, "adaptive", wait_for_sites=0.2)
    assert not (sites.output / "adaptive.fedavg").exists()
    flower.new_run()
    flower.restart(11)
    flower.answered.clear()
    sites.run(flower, "adaptive")
    again = [node for kind, node in flower.answered if kind == "train"]
    assert len(again) == 2 * len(COUNTRIES), "two rounds were left"
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))


def test_a_site_that_has_lost_its_personal_arrays_says_so(sites: Sites) -> None:
    flower = cut_off_in_round_two(sites, "adaptive")
    (sites.site("Czech Republic") / "state.safetensors").unlink()
    with pytest.raises(RuntimeError, match=r"Czech Republic.*not kept here any more; start"):
        sites.run(flower, "adaptive")
    flower.new_run()
    sites.run(flower, "adaptive", anew=True)
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))


def test_changed_tables_are_another_training_that_all_sites_approve(
    sites: Sites, tmp_path: Path
) -> None:
    flower = cut_off_in_round_two(sites, "federated")
    episodes = pd.read_parquet(next(sites.site("Turkey").glob("snapshots/*/episodes.parquet")))
    gone = set(episodes["patient_id"].unique()[:10])
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in (sites.registries / "Turkey").iterdir():
        table = pd.read_csv(path, dtype=str)
        table[~table["PATIENT_ID"].isin(gone)].to_csv(changed / path.name, index=False)
    flower.sites[405].config["registry-folder"] = str(changed)
    with pytest.raises(ClientError, match=r"another question was answered .* --again"):
        sites.run(flower, "federated")
    for country in COUNTRIES[:2]:
        approvals = sites.approvals(country)
        (run,) = approvals.all()
        approvals.approve(run.run, again=True)
    flower.new_run()
    flower.answered.clear()
    sites.run(flower, "federated")
    trained = [node for kind, node in flower.answered if kind == "train"]
    assert len(trained) == 2 * 3 * len(COUNTRIES), "from the first round of the first seed"


def test_a_run_that_is_over_is_not_gone_on_from(sites: Sites) -> None:
    flower = sites.flower()
    sites.run(flower, "federated")
    flower.new_run()
    flower.answered.clear()
    sites.run(flower, "federated")
    assert sum(kind == "train" for kind, _ in flower.answered) == 2 * 3 * len(COUNTRIES)


def test_what_cannot_run_between_sites(sites: Sites) -> None:
    with pytest.raises(InputError, match="'centralized' does not run between sites"):
        sites.run(sites.flower(), "centralized")
    with pytest.raises(InputError, match="not trained with a strategy 'fedsgd'; there are: fedavg"):
        sites.run(sites.flower(), "federated", strategy="fedsgd")


def test_each_end_keeps_the_last_digest_of_the_other_ones_security_log(sites: Sites) -> None:
    sites.run(sites.flower(), "federated")
    lines = [json.loads(line) for line in (sites.output / NAME).read_text().splitlines()]
    told = {line["facts"]["site"]: line["facts"]["digest"] for line in lines[-len(COUNTRIES) :]}
    assert list(told) == sorted(COUNTRIES)
    for country, digest in told.items():
        last = json.loads((sites.site(country) / NAME).read_text().splitlines()[-1])
        assert (last["event"], last["digest"]) == ("ended", digest)
        assert verify(sites.site(country), digest).digest == digest
        assert verify(sites.output, last["facts"]["server"]).lines == len(lines)
    path = sites.site("Turkey") / NAME
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(TamperedLogError, match="cut off at its end"):
        verify(sites.site("Turkey"), told["Turkey"])


class Liar(Flower):
    """The Czech Republic tells of ten times its rows in answer to one kind of message."""

    def __init__(self, honest: Flower, kind: str) -> None:
        super().__init__({number: site.config for number, site in honest.sites.items()})
        self.kind = kind

    def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
        reply = super()._answer(site, node, message)
        if node == 11 and message.metadata.message_type == self.kind == "query.sums":
            words = reply.content.array_records["sums"]
            words["n"] = Array(words["n"].numpy() * np.uint64(10))
        if node == 11 and message.metadata.message_type == self.kind == "train":
            metrics = reply.content.metric_records["metrics"]
            metrics["num-examples"] = 10 * int(metrics["num-examples"])
        return reply


@pytest.mark.parametrize("kind", ["query.sums", "train"])
def test_a_site_is_held_to_the_rows_that_it_introduced(sites: Sites, kind: str) -> None:
    with pytest.raises(ClientError, match=r"Czech Republic.*train rows"):
        sites.run(Liar(sites.flower(), kind), "federated", sums="plain")
    assert not (sites.output / "federated.fedavg").exists()
