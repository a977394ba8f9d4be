"""The sites that a run of the server waits for: who they are, and whether they can take part."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from ms_pfl.cohort.features import FEATURES
from ms_pfl.deployment.agreement import (
    INTRODUCE,
    CohortAgreement,
    Introduction,
    RefusalError,
    Software,
)
from ms_pfl.deployment.settings import ServerSettings, in_quotes
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import ConfigRecord, Grid, Message, RecordDict
from ms_pfl.names import near_names

_POLL = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Site:
    """A site that takes part: its node in Flower, and what it told of itself."""

    node_id: int
    introduction: Introduction


def gather(grid: Grid, settings: ServerSettings, agreement: CohortAgreement) -> dict[str, Site]:
    """Wait for the sites that are named, and see that they can take part; sorted by name.

    Raises:
        RefusalError: a site is not compatible, or two call themselves by one name.
        InputError: a site has not come in time.
    """
    question = RecordDict(
        {
            "config": ConfigRecord(
                {"software": Software.here().to_json(), "agreement": agreement.model_dump_json()}
            )
        }
    )
    expected = settings.countries
    _log.info("Waiting for the sites %s", in_quotes(expected))
    sites: dict[str, Site] = {}
    asked: dict[str, int] = {}
    seen: set[int] = set()
    others: list[str] = []
    until = time.monotonic() + settings.wait_for_sites
    while len(sites) < len(expected):
        new = [node for node in grid.get_node_ids() if node not in seen]
        messages = [
            Message(
                content=question,
                message_type=INTRODUCE,
                dst_node_id=node,
                ttl=settings.answer_within,
            )
            for node in new
        ]
        if messages:
            asked |= dict(zip(grid.push_messages(messages), new, strict=True))
            seen |= set(new)
        for reply in grid.pull_messages(list(asked)) if asked else ():
            node = asked.pop(reply.metadata.reply_to_message_id)
            if reply.has_error():
                raise RefusalError(f"a site does not take part: {_reason(reply)}")
            told = Introduction(**reply.content["config"])
            if told.country not in expected:
                others.append(told.country)
                alike = near_names(told.country, expected)
                _log.warning(
                    '"%s" is connected, but not among the sites of this run; it is not asked '
                    "again%s",
                    told.country,
                    f'; the run waits for "{alike[0]}": name both in one way, in the run\'s sites '
                    "or in the site's country" if alike else "",
                )  # fmt: skip
            elif told.country in sites:
                raise RefusalError(
                    f'two sites call themselves "{told.country}"; each needs its own name'
                )
            else:
                told.check(FEATURES)
                sites[told.country] = Site(node, told)
                _log.info(
                    "%s takes part: %d patients to train on, %d to validate, %d to test",
                    told.country,
                    *told.patients,
                )
        if time.monotonic() > until and len(sites) < len(expected):
            absent = [name for name in expected if name not in sites]
            besides = f" (connected but not named: {in_quotes(others)})" if others else ""
            hint = "".join(
                f'; "{alike}" is connected and the run waits for "{name}": name both in one way'
                for name in absent
                for alike in near_names(name, others)
            )
            raise InputError(
                f"{in_quotes(absent)} did not come within {settings.wait_for_sites:.0f} seconds"
                f"{besides}: is the SuperNode there running, is its key registered, and its "
                "country spelled so? A name with a comma is given in a JSON list: "
                f'sites=\'["Korea, Republic of", "Turkey"]\'{hint}'
            )
        time.sleep(_POLL)
    return dict(sorted(sites.items()))


def _reason(reply: Message) -> str:
    reason = str(reply.error.reason)
    # Flower tells an exception as <class '...'>:<'message'>
    return reason.partition(">:<")[2].strip("'>\"") or reason
