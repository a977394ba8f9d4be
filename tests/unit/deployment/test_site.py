"""What the guard refuses, and what it tells of an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from in_process_flower import Flower
from ms_pfl.deployment.agreement import RefusalError
from ms_pfl.deployment.site import _refuse
from ms_pfl.federation.exchange import ClientError
from ms_pfl.federation.fixed_point import ROWS, TooLargeError
from ms_pfl.federation.flower import Message
from site_examples import Sites

TURKEY = 405


def test_a_server_that_asks_for_more_is_refused(sites: Sites) -> None:
    def happening(flower: Flower, node: int, message: Message) -> None:
        if message.metadata.message_type == "train.personalize":
            message.content["config"]["reply-with-arrays"] = True

    with pytest.raises(ClientError, match="does not send its whole model"):
        sites.run(sites.flower(happening), "local")


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
        sites.meet(flower)
    assert "an error at the site (IngestError); its text stays in the" in str(refused.value)
    assert "77" not in str(refused.value)
    assert "77" in caplog.text, "whoever runs the site reads it"


def test_a_sum_that_could_overflow_does_not_leave_nor_is_it_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TooLargeError) as found:
        ROWS.encode(np.array([7.25e18]), sites=3)
    with pytest.raises(RefusalError, match="the total over all sites could overflow") as refused:
        _refuse(None, None, "query.sums", 1, found.value)
    assert "7.25" not in str(refused.value)
    assert "7.25e+18 cannot be added up over 3 sites" in caplog.text, "the site's people read it"
