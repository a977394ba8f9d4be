"""What server and sites write: whole, by the umask, by one at a time; and what a full disk does."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from in_process_flower import FakeNode, Flower
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.security_log import verify
from ms_pfl.errors import InputError
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.flower import Message
from ms_pfl.folder_lock import hold
from site_examples import COUNTRIES, Sites, assert_same

TURKEY = 405


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk on which no file can grow beyond a size: the system refuses the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


LOGS = {".lock", ".security.lock", "security.jsonl"}


def files(folder: Path) -> list[Path]:
    """All but locks and the log."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in LOGS)


def test_no_other_account_reads_what_is_written(sites: Sites) -> None:
    before = os.umask(0o002)
    try:
        output = sites.run(sites.flower(), "federated")
    finally:
        os.umask(before)
    written = {path for folder in (output, sites.folder / "sites") for path in files(folder)}
    assert {path.name for path in written} >= {
        "models.safetensors", "models.seed=0.safetensors", "predictions.seed=0.parquet",
        "episodes.parquet", "state.safetensors", "policy.yml",
    }  # fmt: skip
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in written} == {"0o600"}


def test_a_second_run_into_one_folder_is_refused(sites: Sites) -> None:
    flower = sites.flower()
    lock = hold(sites.output, "flwr run")
    with pytest.raises(InputError, match=r"^flwr run runs already in .*, or name another folder"):
        sites.run(flower, "federated")
    assert flower.answered == []
    lock.release()
    nowhere = replace(sites, numbers={"Nowhere": 1})
    with pytest.raises(InputError, match="did not come"):
        nowhere.run(sites.flower(), "federated", sites="Nowhere", wait_for_sites=0.1, sums="plain")
    hold(sites.output, "flwr run").release()


class ServerOnFullDisk(Flower):
    """The sites have room; the server, in the same process here, has none."""

    def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
        with largest_file(resource.getrlimit(resource.RLIMIT_FSIZE)[1]):
            return super()._answer(site, node, message)


def test_a_full_disk_at_the_server(sites: Sites) -> None:
    flower = ServerOnFullDisk({node: site.config for node, site in sites.flower().sites.items()})
    with largest_file(1000), pytest.raises(InputError) as caught:
        sites.run(flower, "federated")
    assert str(caught.value) == (
        f"{sites.output} cannot be written at the server (File too large): free space on that disk "
        "or correct the permissions there, and give the same flwr run again; it resumes after the "
        "last whole round"
    )
    assert files(sites.output) == []
    again = sites.flower()
    again.run_id = 2
    sites.run(again, "federated")
    assert_same(sites, "federated.fedavg", sites.simulate("federated"))


def test_a_full_disk_at_the_server_at_the_end(sites: Sites) -> None:
    sizes: list[int] = []

    class Measured(ServerOnFullDisk):
        def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
            if message.metadata.message_type != "query.end":  # the result is written by then
                sizes.extend(path.stat().st_size for path in files(sites.output))
            return super()._answer(site, node, message)

    configs = {node: site.config for node, site in sites.flower().sites.items()}
    sites.run(Measured(configs), "federated")
    result = sites.output / "federated.fedavg"
    before = {path.name: path.read_bytes() for path in files(result)}
    with largest_file(max(sizes) + 1000), pytest.raises(InputError, match="File too large"):
        sites.run(ServerOnFullDisk(configs), "federated")
    assert {path.name: path.read_bytes() for path in files(result)} == before, (
        "the old result stays"
    )


def test_a_full_disk_at_a_site(sites: Sites) -> None:
    flower = sites.flower()

    class SiteOnFullDisk(Flower):
        def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
            kind = message.metadata.message_type
            if node == TURKEY and kind == "train" and self.answered.count((kind, node)) == 1:
                with largest_file(1000):
                    return super()._answer(site, node, message)
            return super()._answer(site, node, message)

    full = SiteOnFullDisk({node: site.config for node, site in flower.sites.items()})
    with pytest.raises(ClientError) as caught:
        sites.run(full, "adaptive")
    said = str(caught.value)
    assert "Turkey" in said
    assert "an error at the site: a file there cannot be read or written (File too large)" in said
    assert str(sites.folder) not in said
    verify(sites.site("Turkey"))
    assert not list(sites.site("Turkey").glob(".*part*"))
    full.new_run()
    sites.run(full, "adaptive")
    assert_same(sites, "adaptive.fedavg", sites.simulate("adaptive"))


def test_a_full_disk_when_a_site_reads_its_tables(sites: Sites) -> None:
    flower = sites.flower()
    with largest_file(20_000), pytest.raises(RefusalError, match=r"site: .* \(File too large\)"):
        sites.run(flower, "federated")
    left = (sites.folder / "sites").glob("*/snapshots/*/*")
    assert {path.name for path in left} <= {"ingest_report.csv"}


def test_nothing_is_answered_where_the_log_is_full(sites: Sites) -> None:
    flower = sites.flower()
    log = sites.site("Turkey") / "security.jsonl"
    before: list[bytes] = []

    class LogOnFullDisk(Flower):
        """Room for a part of a line and no more."""

        def _answer(self, site: FakeNode, node: int, message: Message) -> Message:
            if node != TURKEY or message.metadata.message_type != "query.sums":
                return super()._answer(site, node, message)
            before.append(log.read_bytes())
            with largest_file(len(before[0]) + 10):
                return super()._answer(site, node, message)

    full = LogOnFullDisk({node: site.config for node, site in flower.sites.items()})
    with pytest.raises(ClientError, match="File too large"):
        sites.run(full, "federated")
    assert log.read_bytes() == before[0]
    verify(sites.site("Turkey"))


def test_a_country_with_a_comma(sites: Sites, tmp_path: Path) -> None:
    korea = tmp_path / "korea"
    korea.mkdir()
    for path in (sites.registries / "Turkey").iterdir():
        table = pd.read_csv(path, dtype=str)
        if "country" in table:
            table["country"] = "Korea, Republic of"
        table.to_csv(korea / path.name, index=False)
    flower = sites.flower()
    flower.sites[TURKEY].config |= {"country": "Korea, Republic of", "registry-folder": str(korea)}
    names = [*COUNTRIES[:2], "Korea, Republic of"]
    there = replace(sites, numbers=dict(zip(names, (907, 11, TURKEY), strict=True)))
    with pytest.raises(InputError) as caught:
        there.run(flower, "local", sites=",".join(names), wait_for_sites=0.5, sums="plain")
    assert 'has no key for "Korea", "Republic of": add each' in str(caught.value)
    flower.new_run()
    output = there.run(flower, "local", sites=json.dumps(names), sums="plain")
    assert sorted(set(pd.read_csv(output / "metrics.csv")["country"])) == sorted(names)
