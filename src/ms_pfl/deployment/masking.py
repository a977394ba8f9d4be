"""How a real site masks its sums: with its own key and the pinned ones, and each mask once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ms_pfl.deployment.agreement import RefusalError, RunAgreement
from ms_pfl.deployment.mask_keys import Notebook, code_of, own_key, pinned
from ms_pfl.deployment.site_folder import RUN, SITE
from ms_pfl.deployment.site_parts import Site
from ms_pfl.errors import InputError
from ms_pfl.federation.flower import Context
from ms_pfl.federation.secure_sums import Masks, public_key


def site_masks(context: Context, participants: Sequence[str]) -> Masks:
    """Return what a site masks the sums of its approved run with."""
    site = Site.of(context)
    agreement = site.approvals.approved(str(context.state[SITE][RUN])).agreement
    folder = site.folder.path
    return Masks(
        name=site.settings.country,
        key=own_key(folder),
        pinned={name: key for name, key in pinned(folder).items() if name in participants},
        note=Notebook(folder, str(context.run_id)).note,
        agreement=hashlib.sha256(agreement.text.encode()).hexdigest(),
    )


def code_of_run(site: Site, agreement: RunAgreement) -> str:
    """Return the code of the pinned keys of a run's sites; empty: it masks nothing.

    Raises:
        RefusalError: a key is not pinned, or the site's own is not the one that it has.
    """
    if not agreement.masked:
        return ""
    folder, country = site.folder.path, site.settings.country
    try:
        keys = pinned(folder)
        code = code_of(keys, agreement.sites)
        if keys[country] != public_key(own_key(folder)):
            raise InputError(
                f"the key that is pinned for {country} is not that of mask.key: pin the file with "
                "this site's present key"
            )
    except InputError as error:
        raise RefusalError(f"{country} cannot mask its sums: {error}") from None
    return code
