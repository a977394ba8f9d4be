"""Who takes part, who is refused, and what is done for an introduction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from in_process_flower import Flower, write_sites_file
from ms_pfl.deployment import agreement
from ms_pfl.deployment.agreement import RefusalError, Software
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import Message
from site_examples import COUNTRIES, Sites

TURKEY = 405


def keys_of(sites: Sites, turkey: str) -> str:
    """The server's file of keys, with another name for Turkey."""
    numbers = {name: node for name, node in sites.numbers.items() if node != TURKEY}
    return str(write_sites_file(sites.folder / "other.yml", {**numbers, turkey: TURKEY}))


def test_tables_of_another_country_are_refused(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config["registry-folder"] = str(sites.registries / "all")
    with pytest.raises(
        RefusalError,
        match=r'configured as "Turkey", but .* of another country, which its log names',
    ) as refused:
        sites.meet(flower)
    assert "Czech Republic" not in str(refused.value), "the column may be one of names of people"
    assert 'The tables hold patients of "Australia", "Czech Republic"' in caplog.text
    assert not list(sites.site("Turkey").glob("snapshots/*"))


def test_a_site_with_few_patients_takes_no_part(sites: Sites) -> None:
    flower = sites.flower()
    sites.change_policy("Turkey", floor=20)
    with pytest.raises(RefusalError, match="Turkey takes no part: too few patients") as refused:
        sites.meet(flower)
    assert not any(letter.isdigit() for letter in str(refused.value).partition("Turkey")[2])


def test_a_site_that_is_not_named_takes_no_part(sites: Sites) -> None:
    for country in COUNTRIES:
        sites.init(country, sites=2)
    flower = sites.flower()
    met = sites.meet(flower, sites="Australia,Czech Republic", sums="plain")
    assert list(met) == ["Australia", "Czech Republic"]
    sites.run(flower, "federated", sites="Australia,Czech Republic", sums="plain")
    assert not list(sites.site("Turkey").glob("snapshots/*"))
    assert not list(sites.site("Turkey").glob("runs/*"))


def test_a_site_that_does_not_come_is_named(sites: Sites) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].online = False
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 1 seconds'):
        sites.meet(flower, wait_for_sites=1.0)


def test_a_site_of_a_name_that_looks_alike_is_told_of(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    named = "Australia,Czech Republic,TURKEY"
    with pytest.raises(InputError) as caught:
        sites.meet(
            sites.flower(), sites=named, wait_for_sites=1.0, keys=keys_of(sites, "TURKEY"),
            sums="plain",
        )  # fmt: skip
    both = '"Turkey" is connected and the run waits for "TURKEY": name both in one way'
    assert both in str(caught.value)
    assert 'which is that of "TURKEY"; name both in one way' in caplog.text
    with pytest.raises(InputError, match=r'sites.yml has no key for "TURKEY" \(it has one for "Tu'):
        sites.meet(sites.flower(), sites=named)


def test_tables_of_a_country_that_looks_alike_name_the_setting(sites: Sites) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config["country"] = "Türkey"
    with pytest.raises(RefusalError, match="start it with country='Turkey'"):
        sites.meet(
            flower, sites="Australia,Czech Republic,Türkey", keys=keys_of(sites, "Türkey"),
            sums="plain",
        )  # fmt: skip


def test_a_site_that_calls_itself_by_anothers_name_is_left_alone(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    flower = sites.flower()
    flower.sites[TURKEY].config |= {
        "country": "Australia",
        "registry-folder": str(sites.registries / "Australia"),
    }
    with pytest.raises(InputError, match=r'^"Turkey" did not come within 1 seconds'):
        sites.meet(flower, wait_for_sites=1.0)
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
        sites.meet(flower)
    assert not list(sites.site("Turkey").glob("snapshots/*"))


def test_other_features_are_refused(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    flower = sites.flower()
    monkeypatch.setattr("ms_pfl.deployment.gathering.FEATURES", ("age", "weight"))
    with pytest.raises(
        RefusalError, match=r"does not take part: .*it lacks age, weight and has \w+"
    ):
        sites.meet(flower)


def test_snapshots_are_made_once_and_anew_for_other_tables(sites: Sites) -> None:
    flower = sites.flower()
    sites.meet(flower)
    made = next(sites.site("Turkey").glob("snapshots/*/episodes.parquet"))
    before = made.stat().st_mtime_ns
    flower.new_run()
    sites.meet(flower)
    assert [made] == list(sites.site("Turkey").glob("snapshots/*/episodes.parquet"))
    assert made.stat().st_mtime_ns == before
