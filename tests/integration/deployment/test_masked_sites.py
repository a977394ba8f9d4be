"""Real sites whose sums the server can read only as a total."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import chisquare

from in_process_flower import Flower
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.mask_keys import pin, pinned
from ms_pfl.deployment.masking import site_masks
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Message, to_arrays
from ms_pfl.federation.secure_sums import MaskError, new_key, public_key
from site_examples import COUNTRIES, Sites, assert_same

CZECHS, TURKEY = 11, 405
Sent = dict[tuple[int, str, str], list[np.ndarray]]


def strict(sites: Sites, **policy: object) -> None:
    """Policies as `site init` writes them."""
    for country in COUNTRIES:
        sites.init(country, small_cells="refuse", plain_sums="refuse", **policy)


def change_training(sites: Sites, **sections: Mapping[str, Any]) -> None:
    """Other settings of trainings at the server, in sections that there are."""
    path = sites.project / "conf" / "local" / "parameters.yml"
    told = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        told["training"][name] |= section
    path.write_text(yaml.safe_dump(told))


def sent_by(flower: Flower) -> Sent:
    """The arrays that sites have sent, by site, record and name, in their order."""
    found: Sent = {}
    for node, reply in flower.sent:
        if reply.has_content():
            for record, arrays in reply.content.array_records.items():
                for name, array in to_arrays(arrays).items():
                    found.setdefault((node, record, name), []).append(array)
    return found


def p_of_bytes(words: np.ndarray) -> float:
    counts = np.bincount(np.ascontiguousarray(words).view(np.uint8).ravel(), minlength=256)
    return float(chisquare(counts).pvalue)


@pytest.mark.parametrize(
    ("paradigm", "strategy"),
    [("adaptive", "fedavg"), ("federated", "logistic"), ("federated", "trees")],
)
def test_masked_sums_equal_plain_sums_under_the_strict_policy(
    sites: Sites, paradigm: str, strategy: str
) -> None:
    """Trees and regressions too, whose plain sums have cells of few patients."""
    strict(sites)
    change_training(sites, strategies={"trees": {"trees": 4, "depth": 2, "evaluate_every": 2}})
    folder = sites.run(sites.flower(), paradigm, strategy=strategy)
    outcome = sites.simulate(paradigm, strategy)
    assert_same(sites, f"{paradigm}.{strategy}", outcome)
    metrics = pd.read_csv(folder / "metrics.csv").set_index(["seed", "country", "split"])
    for (seed, split), rows in outcome.predictions.groupby(["seed", "split"]):
        told = metrics.loc[(seed, "pooled", split)]
        assert told["n_episodes"] == len(rows)
        assert told["n_positive"] == rows["label"].sum()
        squares = (rows["label"] - rows["probability"]) ** 2
        assert told["brier"] == pytest.approx(float(squares.mean()), rel=1e-12)
        for country in COUNTRIES:
            own = metrics.loc[(seed, country, split)]
            assert own["n_episodes"] == (rows["country"] == country).sum()
            assert own[["n_positive", "roc_auc", "log_loss", "brier"]].isna().all()
    history = pd.read_csv(folder / "history.csv")
    assert history["validation_roc_auc"].isna().all()
    assert history.groupby(["seed", "round"])["validation_loss"].nunique().eq(1).all()
    chosen = outcome.history[outcome.history["selected"]].groupby("seed")["round"].first()
    assert history[history["selected"]].groupby("seed")["round"].first().equals(chosen)


def test_what_leaves_is_uniform_and_holds_no_plain_update(sites: Sites) -> None:
    """A recording of all messages, held against what the same sites send in the clear."""
    masked = sites.flower()
    sites.run(masked, "scaffold")
    other = Sites(sites.registries, sites.project, sites.folder / "other")
    plain = other.flower()
    other.run(plain, "scaffold", sums="plain")
    hidden, clear = sent_by(masked), sent_by(plain)
    assert clear.keys() < hidden.keys(), "losses and scores are no arrays in the clear"
    recording = b"".join(array.tobytes() for own in hidden.values() for array in own)
    for key, arrays in clear.items():
        for array, other_array in zip(arrays, hidden[key], strict=True):
            assert array.shape == other_array.shape
            assert array.tobytes() not in recording
            words = set(array.ravel().tolist()) - {0}
            assert not words & set(other_array.ravel().tolist())
    for node in sites.numbers.values():
        own = [np.concatenate([a.ravel() for a in v]) for k, v in hidden.items() if k[0] == node]
        assert p_of_bytes(np.concatenate(own)) > 1e-4
    for (_, record, name), arrays in hidden.items():
        differences = [a - b for a, b in itertools.pairwise(arrays)]
        if differences and sum(d.size for d in differences) > 500:
            assert p_of_bytes(np.concatenate(differences)) > 1e-4, (record, name)
    facts, digests = sent_facts(sites), set()
    for own in facts:
        assert ("masked" in own) == bool(own.get("arrays")), own["question"]
        if "masked" in own:
            told = dict(own["masked"])
            assert told.pop("checked") is True
            digests |= set(told.values())
    rounds = [own for own in facts if own["question"] == "train"]
    assert all({"scored", "trained"} < own["masked"].keys() for own in rounds)
    assert all(set(own["numbers"]) == {"num-examples", "num-validation", "roc-auc", "seconds"}
               for own in rounds)  # fmt: skip
    assert not any("masked" in own for own in sent_facts(other)), "of sums in the clear it says so"
    _check_masks_of(masked, sites, digests)


def sent_facts(sites: Sites) -> list[dict[str, Any]]:
    """What Turkey's security log says of the answers to questions."""
    lines = map(json.loads, (sites.site("Turkey") / "security.jsonl").read_text().splitlines())
    return [line["facts"] for line in lines if line["event"] == "sent"]


def _check_masks_of(flower: Flower, sites: Sites, digests: set[str]) -> None:
    """Each question is noted, so that its mask is used once; all hang on the agreement."""
    context = flower.sites[TURKEY].context
    assert context is not None
    masks = site_masks(context, COUNTRIES)
    (asked,) = sites.approvals("Turkey").all()
    assert masks.agreement == hashlib.sha256(asked.agreement.text.encode()).hexdigest()
    assert len(digests) > 10
    for digest in digests:
        with pytest.raises(MaskError, match="is another one than before"):
            masks.note(bytes.fromhex(digest), bytes(32))


def test_a_site_s_policy_may_tell_its_scores(sites: Sites) -> None:
    strict(sites)
    shutil.rmtree(sites.site("Australia"))
    sites.init("Australia", scores="tell", plain_sums="refuse")
    folder = sites.run(sites.flower(), "federated")
    metrics = pd.read_csv(folder / "metrics.csv")
    told = metrics.set_index("country")["log_loss"].notna().groupby("country").all()
    assert told[told].index.tolist() == ["Australia", "pooled"]
    history = pd.read_csv(folder / "history.csv")
    told = history["validation_roc_auc"].notna().groupby(history["country"]).all()
    assert told[told].index.tolist() == ["Australia"]


# each changes the second question of its kind, as a malicious server would
ASKED: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "a plain sum": ("query.sums", {"participants": None}, "a plain sum is asked for, and masked"),
    "a plain score": ("evaluate", {"participants": None}, "a plain sum is asked for, and masked"),
    "plain predictions": ("query.predict", {"participants": None}, "a plain sum is asked for"),
    "a plain round": (
        "train",
        {"participants": None, "trainers": None, "largest-update": None},
        "a plain sum is asked for",
    ),
    "two of three": (
        "query.sums",
        {"participants": ["Czech Republic", "Turkey"], "sites": 2},
        "a masked sum of other participants than was agreed on",
    ),
    "a fourth": (
        "query.sums",
        {"participants": [*COUNTRIES, "Wales"], "sites": 4},
        "a masked sum of other participants than was agreed on",
    ),
    "two in a round": (
        "train",
        {"trainers": ["Czech Republic", "Turkey"]},
        "other sites are to train in this round than are drawn",
    ),
    "any update": ("train", {"largest-update": 1e9}, "the largest update is not the one"),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_question_that_is_not_as_agreed_is_refused(sites: Sites, what: str) -> None:
    kind, change, told = ASKED[what]

    def happening(flower: Flower, node: int, message: Message) -> None:
        if message.metadata.message_type == kind and node == TURKEY:
            config = message.content.config_records["config"]
            for name, value in change.items():
                if value is None:
                    del config[name]
                else:
                    config[name] = value

    with pytest.raises(ClientError, match=told):
        sites.run(sites.flower(happening), "federated")


def test_a_key_that_is_not_pinned(sites: Sites) -> None:
    flower = sites.flower()
    path = sites.site("Turkey") / "masks.yml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True)
                            if "Australia" not in line))  # fmt: skip
    with pytest.raises(RefusalError, match="Turkey cannot mask its sums: no key of 'Australia'"):
        sites.meet(flower)


def test_a_key_that_the_server_has_put_in_the_place_of_a_site_s(sites: Sites) -> None:
    """At one site: the codes differ, and nothing is asked."""
    flower = sites.flower()
    folder = sites.site("Turkey")
    false = {**pinned(folder), "Australia": public_key(new_key())}
    pin(folder, false, replace=True)
    with pytest.raises(RefusalError, match="have not pinned the same keys of masked sums"):
        sites.meet(flower)


def test_a_key_that_is_no_more_that_of_the_site(sites: Sites) -> None:
    flower = sites.flower()
    (sites.site("Turkey") / "mask.key").write_bytes(new_key())
    with pytest.raises(RefusalError, match=r"pinned for Turkey is not that of mask\.key"):
        sites.meet(flower)


def test_two_sites_mask_nothing_and_plain_sums_take_the_word_of_both(sites: Sites) -> None:
    for country in COUNTRIES:
        sites.init(country, sites=2, plain_sums="refuse" if country == "Turkey" else "allow")
    two = "Australia,Turkey"
    with pytest.raises(InputError, match=r"masked sums take 3 sites, and 2 take part.*sums=\"plai"):
        sites.run(sites.flower(), "federated", sites=two)
    with pytest.raises(RefusalError, match="Turkey takes no part by its policy: plain_sums"):
        sites.run(sites.flower(), "federated", sites=two, sums="plain")
    sites.change_policy("Turkey", sites=2, plain_sums="allow")
    sites.run(sites.flower(), "federated", sites=two, sums="plain")


class Liar(Flower):
    """The Czech Republic adds something to its masked words."""

    def _answer(self, site: Any, node: int, message: Message) -> Message:
        reply = super()._answer(site, node, message)
        if node == CZECHS and message.metadata.message_type == "train":
            record = reply.content.array_records["arrays"]
            name = next(iter(record))
            array = record[name].numpy() + np.uint64(2**62)
            record[name] = type(record[name])(array)
        return reply


def test_a_total_that_cannot_be_is_refused(sites: Sites) -> None:
    honest = sites.flower()
    configs = {number: site.config for number, site in honest.sites.items()}
    with pytest.raises(ClientError, match="the mean of what the sites have sent masked cannot be"):
        sites.run(Liar(configs), "federated")
    assert not (sites.output / "federated.fedavg").exists()


def test_an_update_beyond_the_bound_does_not_leave(sites: Sites) -> None:
    """The site's own check finds it; its log alone says how large it is."""
    change_training(sites, federation={"largest_update": 1e-6})
    with pytest.raises(ClientError, match="what the site would send fails its own check") as error:
        sites.run(sites.flower(), "federated")
    assert "norm" not in str(error.value)


def test_a_run_goes_on_with_fresh_masks_and_the_same_bits(sites: Sites) -> None:
    """A site is lost in the second round, and another flwr run goes on after the first one."""

    def happening(flower: Flower, node: int, message: Message) -> str | None:
        config = message.content.config_records["config"]
        if message.metadata.message_type == "train" and config["server-round"] == 2 and node == 11:
            flower.sites[CZECHS].online = False
            return "lost"
        return None

    flower = sites.flower(happening)
    with pytest.raises(InputError, match="went away"):
        sites.run(flower, "adaptive", wait_for_sites=0.2)
    before = sent_by(flower)
    flower.sent.clear()
    flower.new_run()
    flower.restart(CZECHS)
    flower.happening = lambda *_: None
    sites.run(flower, "adaptive")
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))
    after = sent_by(flower)
    again = [key for key in before if key[0] == TURKEY and key[1] == "arrays"]
    for key in again:  # the second round was answered in both
        assert not set(before[key][1].ravel()) & set(after[key][0].ravel())
