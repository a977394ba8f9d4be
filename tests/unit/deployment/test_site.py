"""What leaves a site, what does not, and who is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from in_process_flower import Flower, write_sites_file
from ms_pfl.deployment import agreement
from ms_pfl.deployment.agreement import RefusalError, RunAgreement, Software
from ms_pfl.deployment.gathering import gather
from ms_pfl.deployment.security_log import Entry, verify
from ms_pfl.errors import InputError
from ms_pfl.federation.client import PRIVATE
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Message
from ms_pfl.paradigms import Training
from ms_pfl.personalization.method import SHARED, Arrays, Method, Sent
from ms_pfl.personalization.proximal_copy import ProximalCopy
from ms_pfl.personalization.scaffold import Scaffold
from site_examples import COUNTRIES, Sites

TURKEY = 405


def agreed(sites: Sites, names: Sequence[str] = COUNTRIES) -> RunAgreement:
    return RunAgreement.of(Training("adaptive", "fedavg"), sites.parameters, names)


def meet(three: Sites, flower: Flower, **settings: object) -> dict[str, object]:
    own = three.settings("adaptive", **settings)
    return dict(gather(flower, own, agreed(three, own.countries)))


def keys_of(sites: Sites, turkey: str) -> str:
    """The server's file of keys, with another name for Turkey."""
    numbers = {name: node for name, node in sites.numbers.items() if node != TURKEY}
    return str(write_sites_file(sites.folder / "other.yml", {**numbers, turkey: TURKEY}))


def log_of(sites: Sites, country: str = "Turkey") -> list[Entry]:
    """The site's security log, whose chain holds."""
    verify(sites.site(country))
    lines = (sites.site(country) / "security.jsonl").read_text().splitlines()
    return [Entry.model_validate_json(line) for line in lines]


def test_what_leaves_holds_no_row_no_prediction_and_no_personal_array(sites: Sites) -> None:
    flower = sites.flower()
    sites.run(flower, "adaptive")
    episodes = {
        country: pd.read_parquet(next(sites.site(country).glob("snapshots/*/episodes.parquet")))
        for country in COUNTRIES
    }
    rows = {country: len(table) for country, table in episodes.items()}
    for _, reply in flower.sent:
        for record in reply.content.array_records.values():
            for name, array in record.items():
                assert not name.startswith("extension"), name
                assert not set(array.shape) & set(rows.values()), "nothing is as long as the rows"
        for record in reply.content.metric_records.values():
            for name, value in record.items():
                assert np.ndim(value) == 0, name
        text = json.dumps([dict(r) for r in reply.content.config_records.values()], default=str)
        for table in episodes.values():
            assert not any(patient in text for patient in table["patient_id"].unique())
    entries = log_of(sites)
    sent = [entry.facts for entry in entries if entry.event == "sent"]
    asked = [entry.facts["question"] for entry in entries if entry.event == "asked"]
    assert asked == [facts["question"] for facts in sent]
    assert [facts["waiting"] for facts in sent if facts["question"] == "query.introduce"] == [
        False, True, False
    ], "its name, that it waits, and that it takes part"  # fmt: skip
    sent = [facts for facts in sent if facts["question"] != "query.introduce"]
    replies = [reply for node, reply in flower.sent if node == TURKEY]
    assert replies.pop().metadata.message_type == "query.end", "noted as ended"
    replies = replies[-len(sent) :]
    for facts, reply in zip(sent, replies, strict=True):
        assert facts["question"] == reply.metadata.message_type
        names = {f"{r}/{k}" for r, record in reply.content.array_records.items() for k in record}
        assert set(facts["arrays"]) == names
        numbers = {k for record in reply.content.metric_records.values() for k in record}
        assert set(facts["numbers"]) == numbers
    rounds = [facts["place"] for facts in sent if facts["question"] == "train"]
    assert rounds == ["0/1", "0/2", "0/3"] * 2


def test_a_server_that_asks_for_more_is_refused(sites: Sites) -> None:
    def happening(flower: Flower, node: int, message: Message) -> None:
        if message.metadata.message_type == "train.personalize":
            message.content["config"]["reply-with-arrays"] = True

    with pytest.raises(ClientError, match="does not send its whole model"):
        sites.run(sites.flower(happening), "local")


def send_more(monkeypatch: pytest.MonkeyPatch, more: Callable[[Sent], dict[str, Arrays]]) -> None:
    """Have the app send other records than those of its method."""
    for kind in (Method, ProximalCopy, Scaffold):
        train = kind.train

        def too_much(  # type: ignore[no-untyped-def]
            self, work, records, private, train=train
        ) -> Sent:
            sent: Sent = train(self, work, records, private)
            return replace(sent, records={**sent.records, **more(sent)})

        monkeypatch.setattr(kind, "train", too_much)


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize(
    ("paradigm", "told"),
    [
        ("adaptive", r"does not send extension\.0\.bias, .* to train"),
        ("private_intercept", r"does not send output\.bias in answer to train"),
    ],
)
def test_private_arrays_do_not_leave_even_where_the_app_would_send_them(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, paradigm: str, told: str, asked_for: bool
) -> None:
    """The server passes them off as shared: a message that names them is refused."""

    def happening(flower: Flower, node: int, message: Message) -> None:
        if asked_for and message.metadata.message_type == "train":
            state = flower.sites[node].context.state  # type: ignore[union-attr]
            for name in [name for name in state if name.startswith(PRIVATE)]:
                message.content[SHARED].update(state[name])

    send_more(monkeypatch, lambda sent: {SHARED: {**sent.records[SHARED], **sent.private}})
    with pytest.raises(ClientError, match="are not the initial ones" if asked_for else told):
        sites.run(sites.flower(happening), paradigm)


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize("paradigm", ["private_intercept", "proximal_copy", "scaffold"])
def test_records_that_a_method_does_not_share_do_not_leave(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, paradigm: str, asked_for: bool
) -> None:
    """The arrays of a proximal copy are named as the shared ones: the record's name tells."""

    def happening(flower: Flower, node: int, message: Message) -> None:
        if asked_for and message.metadata.message_type == "train":
            message.content["private/1"] = message.content[SHARED]

    send_more(monkeypatch, lambda sent: {"private/1": sent.private})
    told = "the record 'private/1' is unknown$" if asked_for else "does not send .* to train"
    with pytest.raises(ClientError, match=told):
        sites.run(sites.flower(happening), paradigm)


@pytest.mark.parametrize(
    "name",
    ["../elsewhere", "a/b", "a\\b", "..", "", "flwr", "con", "federated.fedavg\n", "local.none",
     "federated.fedavg/../../x", "FEDERATED.FEDAVG"],
)  # fmt: skip
def test_a_server_cannot_have_a_site_write_elsewhere(sites: Sites, name: str) -> None:
    flower = sites.flower()

    def happening(flower: Flower, node: int, message: Message) -> None:
        if message.metadata.message_type == "query.predict":
            message.content["config"]["keep-as"] = name

    flower.happening = happening
    with pytest.raises(ClientError, match=r"is no name of a training|name of the training is not"):
        sites.run(flower, "federated")
    assert not list(sites.folder.rglob("predictions.*.parquet"))


def test_tables_of_another_country_are_refused(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config["registry-folder"] = str(sites.registries / "all")
    with pytest.raises(
        RefusalError,
        match=r'configured as "Turkey", but .* of another country, which its log names',
    ) as refused:
        meet(sites, flower)
    assert "Czech Republic" not in str(refused.value), "the column may be one of names of people"
    assert 'The tables hold patients of "Australia", "Czech Republic"' in caplog.text
    assert not list(sites.site("Turkey").glob("snapshots/*"))


def test_a_site_with_few_patients_takes_no_part(sites: Sites) -> None:
    flower = sites.flower()
    sites.change_policy("Turkey", floor=20)
    with pytest.raises(RefusalError, match="Turkey takes no part: too few patients") as refused:
        meet(sites, flower)
    assert not any(letter.isdigit() for letter in str(refused.value).partition("Turkey")[2])


def test_an_error_over_a_patients_row_does_not_tell_of_it(
    sites: Sites, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in (sites.registries / "Turkey").iterdir():
        table = pd.read_csv(path, dtype=str)
        if path.stem == "visits":
            table.loc[3, "EDSS"] = "77"
        table.to_csv(broken / path.name, index=False)
    flower = sites.flower()
    flower.sites[TURKEY].config["registry-folder"] = str(broken)
    with pytest.raises(RefusalError) as refused:
        meet(sites, flower)
    assert "an error at the site (IngestError); its text stays in the" in str(refused.value)
    assert "77" not in str(refused.value)
    assert "77" in caplog.text, "whoever runs the site reads it"


def test_a_site_that_is_not_named_takes_no_part(sites: Sites) -> None:
    for country in COUNTRIES:
        sites.init(country, sites=2)
    flower = sites.flower()
    met = meet(sites, flower, sites="Australia,Czech Republic")
    assert list(met) == ["Australia", "Czech Republic"]
    sites.run(flower, "federated", sites="Australia,Czech Republic")
    assert not list(sites.site("Turkey").glob("snapshots/*"))
    assert not list(sites.site("Turkey").glob("runs/*"))


def test_a_site_that_does_not_come_is_named(sites: Sites) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].online = False
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 1 seconds'):
        meet(sites, flower, wait_for_sites=1.0)


def test_a_site_of_a_name_that_looks_alike_is_told_of(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    named = "Australia,Czech Republic,TURKEY"
    with pytest.raises(InputError) as caught:
        meet(sites, sites.flower(), sites=named, wait_for_sites=1.0, keys=keys_of(sites, "TURKEY"))
    both = '"Turkey" is connected and the run waits for "TURKEY": name both in one way'
    assert both in str(caught.value)
    assert 'which is that of "TURKEY"; name both in one way' in caplog.text
    with pytest.raises(InputError, match=r'sites.yml has no key for "TURKEY" \(it has one for "Tu'):
        meet(sites, sites.flower(), sites=named)


def test_tables_of_a_country_that_looks_alike_name_the_setting(sites: Sites) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config["country"] = "Türkey"
    with pytest.raises(RefusalError, match="start it with country='Turkey'"):
        meet(sites, flower, sites="Australia,Czech Republic,Türkey", keys=keys_of(sites, "Türkey"))


def test_a_site_that_calls_itself_by_anothers_name_is_left_alone(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config |= {
        "country": "Australia",
        "registry-folder": str(sites.registries / "Australia"),
    }
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 1 seconds'):
        meet(sites, flower, wait_for_sites=1.0)
    assert (
        '"Australia" is refused, and the run goes on without it: its key is SHA256:' in caplog.text
    )


def other_software(monkeypatch: pytest.MonkeyPatch, flower: Flower, **change: object) -> None:
    """Have Turkey compute with other software than the server."""
    here = Software.here()
    asking = {"node": 0}

    def happening(flower: Flower, node: int, message: Message) -> None:
        asking["node"] = node

    def software() -> Software:
        return replace(here, **change) if asking["node"] == TURKEY else here  # type: ignore[arg-type]

    def check(self) -> None:  # type: ignore[no-untyped-def]
        asking["node"] = 0
        original(self)

    original = agreement.Introduction.check_software
    flower.happening = happening
    monkeypatch.setattr(Software, "here", staticmethod(software))
    monkeypatch.setattr(agreement.Introduction, "check_software", check)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ms_pfl": "0.0.9"}, r"ms_pfl \S+ here, 0\.0\.9 there"),
        ({"source": "f" * 32}, "other source code .*ffffffff there"),
        ({"libraries": {"flwr": "1.0", "torch": "2.0", "numpy": "1.0"}}, "flwr .* here, 1.0 there"),
    ],
)
def test_other_software_is_refused_before_a_table_is_read(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], told: str
) -> None:
    flower = sites.flower()
    other_software(monkeypatch, flower, **change)
    with pytest.raises(RefusalError, match=f"^Turkey does not take part: .*{told}"):
        meet(sites, flower)
    assert not list(sites.site("Turkey").glob("snapshots/*"))


def test_other_features_are_refused(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    flower = sites.flower()
    monkeypatch.setattr("ms_pfl.deployment.gathering.FEATURES", ("age", "weight"))
    with pytest.raises(
        RefusalError, match=r"does not take part: .*it lacks age, weight and has \w+"
    ):
        meet(sites, flower)


def test_snapshots_are_made_once_and_anew_for_other_tables(sites: Sites) -> None:
    flower = sites.flower()
    meet(sites, flower)
    made = next(sites.site("Turkey").glob("snapshots/*/episodes.parquet"))
    before = made.stat().st_mtime_ns
    flower.new_run()
    meet(sites, flower)
    assert [made] == list(sites.site("Turkey").glob("snapshots/*/episodes.parquet"))
    assert made.stat().st_mtime_ns == before
