"""A curious or malicious server, before a site's operator has approved anything and after.

Each attack is tried twice: on a site whose operator has approved nothing, and on one whose operator
has approved exactly what was asked. The letters are those of the attacks on the first version.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from in_process_flower import Flower, approve_all
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.splits import split_patients
from ms_pfl.deployment import approvals as approvals_module
from ms_pfl.deployment.agreement import RunAgreement, Software
from ms_pfl.deployment.approvals import Approvals
from ms_pfl.deployment.commands import main
from ms_pfl.deployment.floors import Floors
from ms_pfl.deployment.order import Order
from ms_pfl.deployment.policy import SitePolicy, read_policy
from ms_pfl.deployment.review import described
from ms_pfl.deployment.security_log import Entry, verify
from ms_pfl.federation.fixed_point import ROWS
from ms_pfl.federation.flower import Message, to_arrays, to_record
from ms_pfl.learning import mixed
from ms_pfl.learning.encoding import CELLS
from ms_pfl.learning.logistic import start
from ms_pfl.paradigms import Training
from ms_pfl.personalization.method import SHARED
from run_examples import (
    cluster_sums,
    evaluate,
    honest,
    input_sums,
    message,
    model_after,
    newton_sums,
    personalize,
    predict,
    prepare,
    scaler_sums,
    train,
)
from site_examples import COUNTRIES, Sites, secret_of

TURKEY, N = 405, len(FEATURES)


@dataclass
class Server:
    """A server that asks one site what it likes."""

    sites: Sites
    flower: Flower
    number: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        return self.sites.site("Turkey")

    @property
    def approvals(self) -> Approvals:
        return Approvals(self.folder)

    def agreement(self, training: str = "adaptive.fedavg", **change: Any) -> RunAgreement:
        name = Training(*training.split("."))
        own = RunAgreement.of(name, self.sites.parameters, COUNTRIES, "plain")
        told = own.model_dump(mode="json")
        for name, value in change.items():
            *path, last = name.split("__")
            section = told
            for key in path:
                section = section[int(key) if key.isdigit() else key]
            section[last] = value
        return RunAgreement.model_validate_json(json.dumps(told))

    def ask(self, asked: Message) -> Message:
        """Ask the site; its reply, which may be an error."""
        again = Message(
            content=asked.content, message_type=asked.metadata.message_type, dst_node_id=TURKEY
        )
        return self.flower.pull_messages(self.flower.push_messages([again]))[0]

    def introduce(self, agreement: RunAgreement | str) -> Message:
        text = agreement if isinstance(agreement, str) else agreement.text
        config = {"software": Software.here().to_json(), "agreement": text}
        return self.ask(message("query.introduce", config))

    def approve(self) -> None:
        """What an operator does who approves everything that waits."""
        approve_all(self.folder)

    def meet(self, agreement: RunAgreement) -> Mapping[str, Any]:
        """Have an agreement approved as it was asked for; what the site then tells of itself."""
        assert told(self.introduce(agreement))["waiting"]
        self.approve()
        return told(self.introduce(agreement))

    def refused(self, asked: Message) -> str:
        return refusal(self.ask(asked))

    def log(self, event: str) -> list[Entry]:
        verify(self.folder)
        lines = (self.folder / "security.jsonl").read_text().splitlines()
        return [e for line in lines if (e := Entry.model_validate_json(line)).event == event]

    def snapshots(self) -> list[Path]:
        return list(self.folder.glob("snapshots/*"))


def told(reply: Message) -> Mapping[str, Any]:
    assert not reply.has_error(), reply.error.reason
    return dict(reply.content["config"])


def refusal(reply: Message) -> str:
    assert reply.has_error(), reply.content
    text = str(reply.error.reason)
    assert "\n" not in text
    return text


@pytest.fixture
def server(sites: Sites) -> Server:
    return Server(sites, sites.flower(approve=False))


def force_approval(server: Server, agreement: RunAgreement) -> None:
    """Approve, whatever the policy says, what was asked for: by hand, in the site's files."""
    from ms_pfl.cohort.treatments import package_classes
    from ms_pfl.deployment.site_folder import SiteFolder
    from ms_pfl.registry.ingest.parameters import IngestParameters

    registry = str(server.sites.registries / "Turkey")
    name = SiteFolder(server.folder).snapshot_name(
        registry, IngestParameters(), package_classes(), agreement
    )
    run = server.approvals.ask(agreement, name, "Turkey").run
    server.approvals.approve(run)


def assert_nothing_left(server: Server) -> None:
    """No snapshot, no count and no sum: the site has told its name at most."""
    assert server.snapshots() == []
    for entry in server.log("sent"):
        assert entry.facts["question"] == "query.introduce"
        assert entry.facts["patients"] == []
        assert entry.facts["data"] == ""


BEYOND = [
    ("B", {"seeds": list(range(450))}, "seeds: 450 asked for, at most 5"),
    ("B", {"seeds": list(range(6))}, "seeds: 6 asked for, at most 5"),
    ("E", {"stages__0__settings__network__width": 1500}, "width: 1500 asked for"),
    ("E", {"stages__0__settings__optimizer__learning_rate": 1.0}, "learning_rate: 1 asked for"),
    ("E", {"stages__0__settings__optimizer__batch_size": 1}, "batch: 1 asked for, at least 32"),
    ("J", {"stages__0__epochs": 9999}, "epochs: 9999 asked for"),
    ("J", {"stages__0__rounds": 99_999}, "rounds: 99999 asked for"),
    ("J", {"stages__0__settings__network__hidden_layers": 999}, "layers: 999 asked for"),
    ("D", {"sites": ["Australia", "Turkey"]}, "sites: 2 asked for, at least 3"),
]


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize(("letter", "change", "why"), BEYOND)
def test_what_is_beyond_the_policy_is_refused_approved_or_not(
    server: Server, letter: str, change: dict[str, Any], why: str, approved: bool
) -> None:
    agreement = server.agreement(**change)
    assert why in refusal(server.introduce(agreement)), letter
    assert server.approvals.all() == [], "there is nothing to approve"
    if approved:
        force_approval(server, agreement)
        assert why in refusal(server.introduce(agreement))
    assert "before it introduced itself" in server.refused(scaler_sums(agreement, 0))
    assert_nothing_left(server)
    assert server.log("refused")[-1].facts["question"] == "query.sums"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages__0__settings__network__width", 10**12),
        ("stages__0__epochs", 10**9),
        ("stages__0__rounds", 10**9),
        ("stages__0__settings__network__hidden_layers", 10**9),
        ("seeds", list(range(20_000))),
        ("seeds", [0, 0]),
        ("seeds", [2**40]),
        ("seeds", []),
        ("stages", []),
        ("stages__0__settings__optimizer__learning_rate", -1),
        ("stages__0__training", "../x"),
        ("stages__0__settings__paradigm", "federated"),
        ("cohort__treatments", {"mild": [["a rare diagnosis"]]}),  # F
        ("treatments", {"mild": [["a rare diagnosis"]]}),
        ("more", 1),
    ],
)
def test_agreements_that_are_none(server: Server, path: str, value: object) -> None:
    """J, F: bounds of types, and no words to look for in free text."""
    content = json.loads(server.agreement().text)
    section, *_ = [content]
    *keys, last = path.split("__")
    for key in keys:
        section = section[int(key) if key.isdigit() else key]
    section[last] = value
    assert "the agreement cannot be read" in refusal(server.introduce(json.dumps(content)))
    assert server.approvals.all() == []
    assert_nothing_left(server)


def test_a_site_that_waits_says_nothing_else(server: Server) -> None:
    agreement = server.agreement()
    for _ in range(3):
        said = told(server.introduce(agreement))
        assert (said["country"], said["waiting"]) == ("Turkey", True)
        assert (said["patients"], said["features"], said["data"]) == ([], [], "")
    for asked in (
        scaler_sums(agreement, 0), prepare(agreement.stages[0], 0, n=N),
        train(agreement, agreement.stages[0], 0, 1, N), evaluate(agreement.stages[0], 0, 0, N),
        personalize(agreement.stages[0], epochs=1, **{"epochs-without-validation": 1}),
        predict(agreement.stages[0], 0, 1, N),
    ):  # fmt: skip
        assert "before it introduced itself" in server.refused(asked)
    assert_nothing_left(server)
    assert len(server.log("agreement")) == 1, "polls are noted once"


def test_after_the_approval_has_expired_the_site_waits(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = server.agreement()
    server.meet(agreement)
    assert not server.ask(scaler_sums(agreement, 0)).has_error()
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)
    monkeypatch.setattr(approvals_module, "_now", lambda: later)
    assert "waits for the approval" in server.refused(scaler_sums(agreement, 0))
    assert "waits for the approval" in server.refused(prepare(agreement.stages[0], 0, n=N))
    assert told(server.introduce(agreement))["waiting"]
    assert [entry.facts["number"] for entry in server.log("expired")] == [1], "noted once"
    monkeypatch.undo()
    assert not server.ask(scaler_sums(agreement, 0)).has_error()
    server.approvals.revoke(server.approvals.all()[0].run)
    assert "waits for the approval" in server.refused(scaler_sums(agreement, 1))


def equations(seeds: int, secret: bytes, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Who trains in each seed, as a server can compute it, and the sums that the site tells."""
    from cohort_examples import FRACTIONS

    people = pd.DataFrame({
        "patient_id": [f"{i:02d}" for i in range(n)], "country": "A", "label": 0,
    })  # fmt: skip
    values = np.random.default_rng(1).normal(size=n)

    def trained(own: bytes) -> np.ndarray:
        splits = split_patients(people, range(seeds), FRACTIONS, own)
        table = splits.pivot(index="seed", columns="patient_id", values="split")
        return (table.to_numpy() == "train").astype(float)

    solved = np.linalg.lstsq(trained(b""), trained(secret) @ values, rcond=None)[0]
    return solved, values


def test_b_seeds_are_no_equations_without_the_secret() -> None:
    """With a public split, 60 seeds give the values of 40 patients to the last digit."""
    solved, values = equations(60, b"")
    assert np.abs(solved - values).max() < 1e-9
    solved, values = equations(60, secret_of("A"))
    assert np.abs(solved - values).max() > 0.5


def test_b_the_split_of_a_site_depends_on_its_secret(server: Server) -> None:
    agreement = server.agreement()
    server.meet(agreement)
    episodes, splits = (
        pd.read_parquet(server.snapshots()[0] / f"{name}.parquet")
        for name in ("episodes", "splits")
    )
    own = split_patients(episodes, agreement.seeds, agreement.splits, secret_of("Turkey"))
    pd.testing.assert_frame_equal(splits, own)
    public = split_patients(episodes, agreement.seeds, agreement.splits)
    assert (public["split"] == splits["split"]).mean() < 0.6


def test_c_a_difference_of_few_patients_is_not_told(server: Server) -> None:
    """Other episodes of a few patients, and at most a few patients less: by a shorter window."""
    first = server.agreement()
    server.meet(first)
    episodes = pd.read_parquet(server.snapshots()[0] / "episodes.parquet")
    for days in range(364, 300, -1):
        other = server.agreement(cohort__horizon_tolerance_days=days)
        reply = server.introduce(other)
        server.approve()
        reply = server.introduce(other)
        made = max(server.snapshots(), key=lambda path: path.stat().st_mtime_ns)
        now = pd.read_parquet(made / "episodes.parquet")
        if len(now) != len(episodes):
            break
    changed = set(episodes["patient_id"]) - set(now["patient_id"])
    assert len(changed) < SitePolicy().floor, "an attack on a difference of few patients"
    assert "nearly the same patients" in refusal(reply)
    before = server.log("sent")
    assert before[-1].facts["question"] == "query.introduce"
    assert len([e for e in before if e.facts.get("patients")]) == 1 + (364 - days)


def test_c_the_same_set_in_another_training_is_no_difference(server: Server) -> None:
    for training in ("adaptive.fedavg", "federated.fedavg", "scaffold.fedavg"):
        assert server.meet(server.agreement(training))["patients"] != []
    assert len(server.snapshots()) == 1
    assert len(list(server.folder.glob("sets/*"))) == 1


@pytest.mark.parametrize(
    "fractions", [(0.98, 0.01, 0.01), (0.79, 0.2, 0.01), (0.79, 0.01, 0.2), (0.08, 0.46, 0.46)]
)
def test_d_a_small_split_ends_it(server: Server, fractions: tuple[float, float, float]) -> None:
    names = dict(zip(("train", "validation", "test"), fractions, strict=True))
    agreement = server.agreement(splits=names)
    assert told(server.introduce(agreement))["waiting"]
    server.approve()
    text = refusal(server.introduce(agreement))
    assert text.endswith("'Turkey takes no part: too few patients'>")
    assert not any(letter.isdigit() for letter in text.partition(">:<")[2]), "I: no number"
    assert "before it introduced itself" in server.refused(scaler_sums(agreement, 0))
    assert not list(server.folder.glob("sets/*"))


def test_d_a_floor_that_is_raised_in_a_run_holds_at_once(server: Server) -> None:
    agreement = begun(server)
    asked = train(agreement, agreement.stages[0], 0, 1, N)
    server.sites.change_policy("Turkey", floor=20)
    assert "too few patients" in server.refused(asked)
    server.sites.change_policy("Turkey", seeds=1)
    assert "seeds: 2 asked for, at most 1" in server.refused(asked)
    server.sites.change_policy("Turkey")
    assert not server.ask(asked).has_error()


def begun(server: Server, training: str = "adaptive.fedavg") -> RunAgreement:
    """An approved run that is prepared for its first seed."""
    agreement = server.agreement(training)
    server.meet(agreement)
    for asked in list(honest(agreement, 0, n=N))[:2]:
        assert not server.ask(asked).has_error()
    return agreement


def test_e_a_trap_in_the_first_round_is_seen(server: Server) -> None:
    agreement = begun(server)
    trap = train(agreement, agreement.stages[0], 0, 1, N)
    arrays = dict(model_after(agreement.stages[0], 0, 0, N)[SHARED])
    arrays["core.0.weight"] = arrays["core.0.weight"] * np.float32(1000)
    trap.content[SHARED] = to_record(arrays)
    assert "are not the initial ones" in server.refused(trap)
    other = server.agreement(stages__0__settings__network__width=9).stages[0]
    assert "settings are not those" in server.refused(prepare(other, 0, n=N))
    other = server.agreement(stages__0__settings__optimizer__kind="sgd").stages[0]
    assert "settings are not those" in server.refused(prepare(other, 0, n=N))


def test_f_words_of_the_server_are_not_looked_for(server: Server) -> None:
    own = server.agreement()
    other = own.model_copy(update={"treatments": "0" * 32})
    text = refusal(server.introduce(other))
    assert "its drugs by efficacy class (cohort.treatments) are not those of the server" in text
    force_approval(server, other)
    assert "cohort.treatments" in refusal(server.introduce(other))
    assert "mild" not in own.text
    assert "interferon" not in own.text
    assert_nothing_left(server)


def with_education_of(sites: Sites, folder: Path, known: int) -> Path:
    """Turkey's tables, in which so many people with episodes have an education."""
    shutil.copytree(sites.registries / "Turkey", folder)
    table = pd.read_csv(folder / "patients.csv", dtype=str)
    table["EDUCATION"] = None
    table.loc[: known - 1, "EDUCATION"] = "3"
    table.to_csv(folder / "patients.csv", index=False)
    return folder


@pytest.mark.parametrize("known", [1, 12, 199])
def test_g_a_feature_of_few_patients_is_not_told(
    server: Server, tmp_path: Path, known: int
) -> None:
    registry = with_education_of(server.sites, tmp_path / "tables", known)
    server.flower.sites[TURKEY].config["registry-folder"] = str(registry)
    agreement = server.agreement()
    server.meet(agreement)
    episodes = pd.read_parquet(server.snapshots()[0] / "episodes.parquet")
    splits = pd.read_parquet(server.snapshots()[0] / "splits.parquet")
    train_ids = splits.loc[(splits["seed"] == 0) & (splits["split"] == "train"), "patient_id"]
    rows = episodes[episodes["patient_id"].isin(train_ids) & episodes["EDUCATION"].notna()]
    sums = to_arrays(server.ask(scaler_sums(agreement, 0)).content["sums"])
    place = FEATURES.index("EDUCATION")
    numbers = [float(ROWS.decode(sums[name])[place]) for name in ("n", "sum", "sum-of-squares")]
    if rows["patient_id"].nunique() < 10:
        assert numbers == [0.0, 0.0, 0.0]
    else:
        assert numbers == [len(rows), 3.0 * len(rows), 9.0 * len(rows)]
    assert (rows["patient_id"].nunique() < 10) == (known < 199)
    assert float(ROWS.decode(sums["n"])[FEATURES.index("AGE_AT_0")]) > 0


def test_h_a_round_is_scored_once(server: Server) -> None:
    agreement = begun(server)
    stage = agreement.stages[0]
    assert not server.ask(train(agreement, stage, 0, 1, N)).has_error()
    answered = 0
    for number in range(40):
        for asked in (evaluate(stage, 0, 1, N), train(agreement, stage, 0, 2, N)):
            arrays = {k: a + np.float32(number) for k, a in model_after(stage, 0, 1, N)[
                SHARED].items()}  # fmt: skip
            asked.content[SHARED] = to_record(arrays)
            answered += not server.ask(asked).has_error()
    assert answered == 1, "one model is scored after the first round, trained on or not"
    assert len(server.log("refused")) == 79


def test_i_questions_and_refusals_are_on_record_before_the_answer(server: Server) -> None:
    agreement = begun(server)
    lines = (server.folder / "security.jsonl").read_text().splitlines()
    events = [Entry.model_validate_json(line) for line in lines]
    sent = [entry for entry in events if entry.event == "sent"]
    for entry in sent:
        asked = next(
            e for e in events
            if e.event == "asked" and e.facts["digest"] == entry.facts["digest"]
        )  # fmt: skip
        assert asked.number < entry.number
    server.refused(scaler_sums(agreement, 99))
    assert "seed" in server.log("refused")[-1].facts["reason"]
    assert len(server.log("sent")) == len(sent)


def test_i_what_cannot_be_written_down_does_not_leave(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ms_pfl.deployment.security_log import SecurityLog

    agreement = begun(server)
    note = SecurityLog.note

    def full(self: SecurityLog, event: Any, **facts: Any) -> str:
        if event == "sent":
            raise OSError(28, "No space left on device")
        return note(self, event, **facts)

    monkeypatch.setattr(SecurityLog, "note", full)
    asked = train(agreement, agreement.stages[0], 0, 1, N)
    assert "No space left on device" in server.refused(asked)
    monkeypatch.undo()
    assert not server.ask(asked).has_error(), "the same is answered when there is room"


def test_i_a_log_that_was_changed_stops_the_site_and_names_no_path(server: Server) -> None:
    agreement = begun(server)
    with (server.folder / "security.jsonl").open("a") as file:
        file.write("{}\n")
    text = server.refused(train(agreement, agreement.stages[0], 0, 1, N))
    assert "an error at the site (TamperedLogError); its text stays in the log there" in text
    assert str(server.folder) not in text


def test_j_ballast(server: Server) -> None:
    agreement = begun(server)
    asked = train(agreement, agreement.stages[0], 0, 1, N)
    asked.content[SHARED] = to_record({"core.0.weight": np.zeros(25_000_000, np.float32)})
    assert "larger than the site's policy allows" in server.refused(asked)
    wrong = scaler_sums(agreement, 0)
    wrong.content["ballast"] = to_record({"x": np.zeros(10)})
    assert "'ballast' is unknown" in server.refused(wrong)
    long = server.agreement().text + " " * 1_000_001
    assert refusal(server.introduce(long))


def test_j_old_snapshots_go_and_the_folder_is_bounded(server: Server) -> None:
    for seed in range(8):
        assert server.meet(server.agreement(seeds=[seed]))["patients"] != []
        assert len(server.snapshots()) <= 5
    last = server.agreement(seeds=[7])
    for asked in server.approvals.all():
        if asked.agreement != last:
            server.approvals.revoke(asked.run)
    told(server.introduce(last))
    assert len(server.snapshots()) == 1, "those of runs that are not approved go"
    with (server.folder / "large").open("wb") as file:
        file.truncate(21 * 2**30)
    assert "has reached the size" in refusal(server.introduce(last))
    assert "has reached the size" in server.refused(scaler_sums(last, 7))


def test_l_a_later_run_replaces_no_finished_model(server: Server) -> None:
    kept: dict[Path, bytes] = {}
    for rounds in (1, 2):
        agreement = server.agreement(stages__0__rounds=rounds)
        server.meet(agreement)
        for asked in honest(agreement, 0, n=N):
            assert not server.ask(asked).has_error()
        assert all(path.read_bytes() == content for path, content in kept.items())
        kept |= {path: path.read_bytes() for path in server.folder.glob("runs/*/*/*")}
    assert len(kept) == 4
    assert len({path.parent for path in kept}) == 2
    for asked in honest(agreement, 0, n=N):
        server.ask(asked)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_l_the_protocol_is_the_agreed_one(server: Server, capsys: Any) -> None:
    agreement = begun(server)
    protocol = agreement.protocol.model_copy(update={"selection": "test"})
    stage = agreement.stages[0].model_copy(
        update={"settings": agreement.stages[0].settings.model_copy(update={"protocol": protocol})}
    )
    assert "settings are not those" in server.refused(prepare(stage, 0, n=N))
    content = json.loads(agreement.text)
    content["protocol"]["selection"] = "test"
    assert "another protocol than the run" in refusal(server.introduce(json.dumps(content)))
    content["stages"][0]["settings"]["protocol"]["selection"] = "test"
    assert told(server.introduce(json.dumps(content)))["waiting"]
    run = next(r for r in server.approvals.all() if r.agreement.protocol.selection == "test")
    assert main(["review", run.run, "--folder", str(server.folder)]) == 0
    assert "NOTE: rounds are chosen by test rows" in capsys.readouterr().out


def test_small_cells_leave_by_permission_alone(server: Server) -> None:
    agreement = server.agreement("federated.logistic")
    server.sites.change_policy("Turkey")
    assert told(server.introduce(agreement))["waiting"]
    server.approve()
    text = refusal(server.introduce(agreement))
    assert "too few patients in a cell (small_cells: refuse)" in text
    assert not any(letter.isdigit() for letter in text.partition(">:<")[2])
    server.sites.change_policy("Turkey", small_cells="allow")
    assert told(server.introduce(agreement))["patients"] != []
    server.sites.change_policy("Turkey")
    assert server.meet(server.agreement("local.logistic"))["patients"] != [], "its stay there"


@pytest.mark.parametrize("training", ["federated.fedavg", "local.logistic", "adaptive.trees"])
def test_encoded_inputs_need_permission(
    server: Server, training: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are agreed on by counts of values, of which few patients have some."""
    kind = "binned" if training.endswith("trees") else "encoded"
    agreement = server.agreement(training, stages__0__settings__inputs__kind=kind)
    server.sites.change_policy("Turkey")
    assert told(server.introduce(agreement))["waiting"]
    server.approve()
    (run,) = server.approvals.all()
    for policy, allowed in (("refuse", False), ("allow", True)):
        server.sites.change_policy("Turkey", small_cells=policy)
        assert main(["review", run.run, "--folder", str(server.folder)]) == 0
        said = capsys.readouterr().out
        assert ("REFUSED even if approved: encoded or binned inputs" in said) is not allowed
        assert ("each value of each feature, also where these are rows of fewer" in said) is allowed
        assert "- number of values of each of 42 features in each cell of a fixed grid" in said
        reply = server.introduce(agreement)
        if not allowed:
            assert "binned inputs are agreed on by counts of few patients" in refusal(reply)
            continue
        assert told(reply)["patients"] != []
        first = input_sums(agreement, 0, "first-cells")
        edges = np.sort(np.random.default_rng(0).normal(size=(N, CELLS - 1)), axis=1)
        second = input_sums(agreement, 0, "second-cells", {"edges": edges.astype(np.float32)})
        assert "the second grid comes after the sums before it" in refusal(server.ask(second))
        assert "need no such sums" in refusal(server.ask(scaler_sums(agreement, 0)))
        assert not server.ask(first).has_error()
        assert not server.ask(second).has_error()
        assert not server.ask(second).has_error(), "the same again"
        other = input_sums(agreement, 0, "second-cells", {"edges": edges.astype(np.float32) + 1})
        assert "another question was answered in this place" in refusal(server.ask(other))


def test_histograms_need_permission(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are sums over the rows of each bin, of which few patients have some."""
    monkeypatch.setattr(Floors, "check_cells", lambda _: None)  # the synthetic sites are small
    server.sites.change_policy("Turkey", small_cells="allow")
    agreement = server.agreement("adaptive.trees", stages__0__settings__trees__trees=4)
    agreement = agreement.model_copy(
        update={"stages": (agreement.stages[0].model_copy(update={"rounds": 4}),)}
    )
    server.meet(agreement)
    (run,) = server.approvals.all()
    assert main(["review", run.run, "--folder", str(server.folder)]) == 0
    said = capsys.readouterr().out
    assert "Model: at most 4 boosted trees of depth 3 over 42 features" in said
    assert "once the numbers of training rows with and without the outcome" in said
    assert "in each of 33 bins of 21 features" in said
    assert "The server chooses the splits and the values of the leaves." in said
    messages = list(honest(agreement, 0, n=N))
    for asked in messages[:6]:  # bins, settings, rows by label, a level of the first tree, two
        assert not server.ask(asked).has_error()
    found = to_arrays(server.ask(messages[5]).content["sums"])
    assert found.keys() == {"histogram", "loss"}
    server.sites.change_policy("Turkey", small_cells="refuse")
    for asked in messages[4:6]:
        assert "few patients (small_cells: refuse)" in refusal(server.ask(asked))
    server.sites.change_policy("Turkey", small_cells="allow")
    for asked in messages[6:]:
        assert not server.ask(asked).has_error()


@pytest.mark.parametrize("policy", ["refuse", "allow"])
def test_a_model_that_singles_out_a_patient_needs_permission(
    server: Server, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With large coefficients the Hessian is that of the row nearest to a plane."""
    monkeypatch.setattr(Floors, "check_cells", lambda _: None)  # the synthetic sites are small
    server.sites.change_policy("Turkey", small_cells=policy)
    agreement = begun(server, "federated.logistic")
    assert not server.ask(newton_sums(agreement, 0, start(N))).has_error()
    steep = {"coefficients": np.zeros(N), "intercept": np.zeros(1)}
    steep["coefficients"][FEATURES.index("AGE_AT_0")] = 1e4
    steep["intercept"][0] = -4e5  # at the scaler of this test, the age of 40
    reply = server.ask(newton_sums(agreement, 0, steep))
    if policy == "allow":
        assert not reply.has_error()
    else:
        assert "too few patients weigh in such a sum" in refusal(reply)
    mild = {name: array + 1e-3 for name, array in start(N).items()}
    assert not server.ask(newton_sums(agreement, 0, mild)).has_error()


def test_standard_errors_over_few_patients_need_permission(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nearly all rows are predicted well, few patients make the sum."""
    monkeypatch.setattr(Floors, "check_cells", lambda _: None)  # the synthetic sites are small
    server.sites.change_policy("Turkey", small_cells="refuse")
    agreement = begun(server, "federated.logistic")
    stage, model = agreement.stages[0], start(N)
    assert not server.ask(newton_sums(agreement, 0, model)).has_error()
    assert "was scored" in refusal(server.ask(cluster_sums(agreement, 0, model)))
    first = message("evaluate", {"server-round": 1}, {SHARED: model})
    assert not server.ask(first).has_error()
    seen = []
    check = Floors.check_weights

    def note(floors: Floors, seed: int, weights: Any) -> None:
        seen.append(np.asarray(weights).tolist())
        check(floors, seed, weights)

    monkeypatch.setattr(Floors, "check_weights", note)
    reply = server.ask(cluster_sums(agreement, 0, model))
    assert not reply.has_error()
    assert set(reply.content["sums"]) == {"hessian", "meat", "n"}
    assert [set(weights) for weights in seen] == [{0.25}, {0.25}], "p (1 - p) and (y - p)^2"
    assert stage.kind == "newton"


@pytest.mark.parametrize("policy", ["refuse", "allow"])
def test_an_own_intercept_needs_the_permission_of_newtons_sums(server: Server, policy: str) -> None:
    server.sites.change_policy("Turkey", small_cells=policy)
    agreement = server.agreement("adaptive.logistic")
    if policy == "refuse":
        assert told(server.introduce(agreement))["waiting"]
        server.approve()
        assert "too few patients in a cell" in refusal(server.introduce(agreement))
        return
    begun(server, "adaptive.logistic")
    plain = server.ask(newton_sums(server.agreement("federated.logistic"), 0, start(N)))
    assert "by other sums" in refusal(plain)
    reply = server.ask(newton_sums(agreement, 0, mixed.start(mixed.intercepts(N))))
    assert set(reply.content["sums"]) == {"gradient", "hessian", "loss", "n", "square"}
    certain = {**mixed.start(mixed.intercepts(N)), "variance": -np.ones(N + 1)}
    assert "is below 0" in refusal(server.ask(newton_sums(agreement, 0, certain)))


def test_the_secret_is_made_once_and_its_loss_is_said(server: Server) -> None:
    agreement = begun(server)
    secret = server.folder / "secret"
    content = secret.read_bytes()
    secret.unlink()
    for reply in (server.introduce(agreement), server.ask(scaler_sums(agreement, 0))):
        assert "the site's secret is lost, and no run can go on" in refusal(reply)
    assert not secret.exists(), "another one would divide the patients otherwise"
    secret.write_bytes(content[:-1])
    assert "the site's secret is damaged" in refusal(server.introduce(agreement))
    secret.write_bytes(content)
    assert told(server.introduce(agreement))["patients"] != []


def test_a_new_folder_gets_a_secret_of_its_own(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        assert main(["init", str(tmp_path / name)]) == 0
        secret = tmp_path / name / "secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        found.append(secret.read_bytes())
    assert [len(secret) for secret in found] == [32, 32]
    assert found[0] != found[1]


def test_a_site_without_a_policy_answers_nothing(server: Server) -> None:
    for text in (None, "floor: many\n"):
        path = server.folder / "policy.yml"
        path.unlink() if text is None else path.write_text(text)
        assert "own configuration or policy cannot be used" in refusal(
            server.introduce(server.agreement())
        )
        assert server.log("refused")[-1].facts["question"] == "query.introduce"
    assert len(server.log("refused")) == 2


@pytest.mark.parametrize("name", ["", "agreements", "runs", "sets", "snapshots"])
def test_a_folder_that_others_can_change_is_not_used(
    server: Server, name: str, tmp_path: Path
) -> None:
    """They could put an approval there, or a link to where they can read."""
    agreement = server.agreement()
    server.meet(agreement)
    folder = server.folder / name
    if name:  # as somebody puts it there while the folder is open
        shutil.rmtree(folder, ignore_errors=True)
        folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        (tmp_path / "elsewhere").mkdir()
    for mode in (0o770, 0o707):
        folder.chmod(mode)
        assert "configuration or policy cannot be used" in refusal(server.introduce(agreement))
        assert "configuration or policy cannot be" in server.refused(scaler_sums(agreement, 0))
    assert server.snapshots() == [] or name != "snapshots"


def test_files_of_approvals_and_the_secret_that_others_can_change_are_not_used(
    server: Server,
) -> None:
    agreement = server.agreement()
    server.meet(agreement)
    for path in [server.folder / "secret", *server.approvals.path.glob("*.approved.json")]:
        path.chmod(0o620)
        assert not told_of_rows(server.introduce(agreement)), path
        assert server.ask(scaler_sums(agreement, 0)).has_error(), path
        path.chmod(0o600)
    assert told_of_rows(server.introduce(agreement))


def told_of_rows(reply: Message) -> bool:
    return not reply.has_error() and told(reply)["patients"] != []


def test_folders_that_are_no_snapshots_are_left_alone(server: Server, tmp_path: Path) -> None:
    """Where somebody has linked the snapshots to a folder in which there is more."""
    disk = tmp_path / "disk"
    (disk / "other").mkdir(parents=True)
    (disk / ("0" * 16)).mkdir()
    (server.folder / "snapshots").symlink_to(disk)
    server.meet(server.agreement())
    names = {path.name for path in disk.iterdir()}
    assert "other" in names
    assert "0" * 16 not in names
    assert len(names) == 2


def test_an_approval_that_is_revoked_while_an_answer_is_computed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = begun(server)
    run = server.approvals.all()[0].run
    sent = len(server.log("sent"))

    def revoke(*_: object) -> dict[str, Any]:
        server.approvals.revoke(run)
        return {}

    monkeypatch.setattr(Order, "note", revoke)
    assert "waits for the approval" in server.refused(scaler_sums(agreement, 1))
    assert len(server.log("sent")) == sent


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in JSON."""
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from leaves(content[key], (*path, key))
    else:
        yield path


def another(value: Any, data: st.DataObject) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + data.draw(st.integers(-3, 10**6).filter(bool))
    if isinstance(value, float):
        return value * data.draw(st.sampled_from([0.5, 1.0000001, 3.0, -1.0]))
    if isinstance(value, str):
        return data.draw(st.sampled_from([value + "x", value[1:], "", "test", "episode", "cuda"]))
    return 1


@pytest.fixture(scope="module")
def approved_once() -> dict[str, Server]:
    return {}


@given(data=st.data())
@settings(
    max_examples=examples(40), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_an_agreement_that_differs_in_anything_is_not_answered(
    server: Server, approved_once: dict[str, Server], data: st.DataObject
) -> None:
    own = approved_once.setdefault("server", server)
    agreement = own.agreement()
    if not own.approvals.all():
        own.meet(agreement)
        own.ask(scaler_sums(agreement, 0))
    content = json.loads(agreement.text)
    places = list(leaves(content))
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(places))
        section = content
        for key in path:
            section = section[key]
        section[last] = another(section[last], data)
    if content == json.loads(agreement.text):
        return
    made = own.snapshots()
    reply = own.introduce(json.dumps(content))
    if not reply.has_error():
        said = told(reply)
        assert said["waiting"] or "Turkey" not in content["sites"]
        assert (said["patients"], said["features"], said["data"]) == ([], [], "")
    assert own.snapshots() == made
    assert told(own.introduce(agreement))["patients"] != [], "the approved one still is"


@given(data=st.data())
@settings(
    max_examples=examples(4), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_whatever_the_order_one_question_in_a_place_is_answered(
    server: Server, data: st.DataObject
) -> None:
    training = data.draw(st.sampled_from(["adaptive.fedavg", "local.none"]))
    agreement = server.agreement(training)
    if not any(asked.agreement == agreement for asked in server.approvals.all()):
        server.meet(agreement)
    told(server.introduce(agreement))
    pool = [asked for seed in (0, 1) for asked in honest(agreement, seed, n=N)]
    server_said = len(server.log("sent"))
    for _ in range(15):
        asked = data.draw(st.sampled_from(pool))
        if data.draw(st.booleans()) and SHARED in asked.content.array_records:
            arrays = {k: a + 1 for k, a in to_arrays(asked.content[SHARED]).items()}
            asked = message(
                asked.metadata.message_type, asked.content["config"],
                {**asked.content.array_records, SHARED: arrays},
            )  # fmt: skip
        server.ask(asked)
    answered: dict[tuple[str, int, str], set[str]] = {}
    for entry in server.log("sent"):
        facts = entry.facts
        if "place" in facts:
            key = (facts["run"], facts["seed"], facts["place"])
            answered.setdefault(key, set()).add(facts["digest"])
    assert all(len(digests) == 1 for digests in answered.values())
    assert len(server.log("sent")) >= server_said


def test_the_review_tells_what_will_leave(server: Server) -> None:
    for training, words in {
        "adaptive.fedavg": ["after each round the shared weights", "sum of squares"],
        "fine_tuned.fedavg": ["from the model of the stage before", "no weights"],
        "federated.logistic": [
            "Hessian (43 x 43)",
            "small_cells: allow",
            "tell, of each indicator",
            "sum of squares over patients (43 x 43 each)",
        ],
        "adaptive.logistic": ["how far the intercept of this site is from the common one"],
        "scaffold.fedavg": ["the change of the control variate"],
    }.items():
        agreement = server.agreement(training)
        server.introduce(agreement)
        asked = next(r for r in server.approvals.all() if r.agreement == agreement)
        text = "\n".join(described(asked, server.approvals, read_policy(server.folder)))
        for word in (*words, "Never leaves: rows", "waits since", "Australia; Czech Republic"):
            assert word in text, word
