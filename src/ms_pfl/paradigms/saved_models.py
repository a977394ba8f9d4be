"""Trained models as they were saved: networks, scalers and predictions for rows of one's own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.parameters import Scaling
from ms_pfl.federation.scaler import Scaler, ScalerSums
from ms_pfl.learning.models import MLP, AdaptiveDualBranchNet, Network, set_arrays
from ms_pfl.learning.parameters import ModelParameters
from ms_pfl.learning.scoring import predict_proba
from ms_pfl.learning.training import one_thread


class SavedModels:
    """The models of one training: a network a seed, or one a seed and country."""

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        parameters: ModelParameters,
        scaling: Scaling = "federated",
    ) -> None:
        """Take the arrays of ``Outcome.models``.

        Args:
            arrays: ``seed=<s>/shared/<array>``, ``seed=<s>/personal/<country>/<array>``,
                ``seed=<s>/scaler/mean`` and ``seed=<s>/scaler/sd``.
            parameters: of the network that was trained.
            scaling: as it was trained with (``protocol.scaling``).
        """
        self._arrays = arrays
        self._parameters = parameters
        self._scaling = scaling
        self._networks: dict[tuple[int, str], Network] = {}

    def scaler(self, seed: int) -> Scaler:
        """The federated scaler of a seed.

        Raises:
            InputError: there is no model of that seed.
        """
        try:
            return Scaler(*(self._arrays[f"seed={seed}/scaler/{part}"] for part in ("mean", "sd")))
        except KeyError:
            raise InputError(f"the models hold no seed {seed}; they are of other seeds") from None

    def network(self, seed: int, country: str) -> Network:
        """The network of a country; every country has the same one where nothing is personal.

        Raises:
            InputError: there is no model of that seed, or none of that country.
        """
        if (seed, country) not in self._networks:
            self._networks[seed, country] = self._build(seed, country)
        return self._networks[seed, country]

    def predict(
        self,
        seed: int,
        country: str,
        x: NDArray[np.float32],
        train: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float64]:
        """Probabilities of the outcome, shape ``(rows,)``.

        Args:
            seed: which of the trained models.
            country: whose.
            x: features as in the episodes table, shape ``(rows, features)``, NaN = missing.
            train: the country's training rows, which set its scaler where each country was scaled
                by its own (``protocol.scaling: country``); else not needed.

        Raises:
            InputError: no such model, another number of features, or ``train`` is missing.
        """
        if len(x) == 0:
            return np.empty(0)
        scaler = self.scaler(seed)
        if x.shape[1] != len(scaler.mean):
            raise InputError(
                f"the models were trained on {len(scaler.mean)} features, these rows have "
                f"{x.shape[1]}"
            )
        if self._scaling == "none":
            scaled = scaler.unscaled(x)
        elif self._scaling == "federated":
            scaled = scaler.apply(x)
        elif train is None:
            raise InputError(
                "these models scale each country by its own training rows (protocol.scaling: "
                "country); give them"
            )
        else:
            scaled = Scaler.from_sums([ScalerSums.of(train)]).apply(x)
        with one_thread():
            return predict_proba(self.network(seed, country), torch.tensor(scaled))

    def _build(self, seed: int, country: str) -> Network:
        n_features = len(self.scaler(seed).mean)
        arrays: dict[str, np.ndarray] = {}
        for prefix in (f"seed={seed}/shared/", f"seed={seed}/personal/{country}/"):
            arrays |= {
                name.removeprefix(prefix): array
                for name, array in self._arrays.items()
                if name.startswith(prefix)
            }
        extension = [name for name in arrays if name.startswith("extension.")]
        network: Network
        if "combining.weight" in arrays or extension:
            depth = sum(name.endswith(".weight") for name in extension)
            network = AdaptiveDualBranchNet(n_features, self._parameters, depth)
        else:
            network = MLP(n_features, self._parameters)
        missing = network.state_dict().keys() - arrays.keys()
        if missing:
            raise InputError(
                f"the models hold no complete network for {country!r} in seed {seed} (missing: "
                f"{sorted(missing)[0]}); a country that was not trained has no personal model"
            )
        set_arrays(network, arrays)
        return network
