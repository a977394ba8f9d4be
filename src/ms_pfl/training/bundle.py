"""The models that a training saved, ready to predict with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import FederationData
from ms_pfl.federation.scaler import Scaler, ScalerSums
from ms_pfl.learning.networks import Network, build_model, set_arrays
from ms_pfl.learning.parameters import ExtensionTier, ModelKind
from ms_pfl.learning.scoring import logits, predict_proba
from ms_pfl.learning.training import one_thread, resolve_device
from ms_pfl.training.assembly import STAMP, stamp_of
from ms_pfl.training.parameters import ParadigmParameters
from ms_pfl.training.train import PARADIGMS

_AGAIN = "run the training with the present settings first"


@dataclass(frozen=True)
class SavedModel:
    """The model of one seed and country: its network, its scaler, and where it computes.

    ``scaled`` False: the network was trained on unscaled features (``protocol.scaling: none``), so
    that of the scaler only the means are used, in the place of missing values.
    """

    network: Network
    scaler: Scaler
    scaled: bool
    device: torch.device

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of label 1, float64, shape ``(rows,)``, in [0, 1].

        The same rows in the same order as in training give the same bits as its predictions; in
        another batch the last bits of a float32 may differ.

        Args:
            rows: features as they stand in the episodes table, shape ``(rows, features)``, NaN =
                missing: scaling and filling are done here.

        Raises:
            InputError: another number of features than the model was trained with.
        """
        with one_thread():
            return predict_proba(self.network, self._prepared(rows))

    def logits(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same before the sigmoid: log-odds of label 1, which keep what 0 and 1 round away."""
        with one_thread():
            return logits(self.network, self._prepared(rows))

    def _prepared(self, rows: NDArray[np.float32]) -> torch.Tensor:
        n = len(self.scaler.mean)
        if rows.ndim != 2 or rows.shape[1] != n:
            raise InputError(
                f"the rows have shape {rows.shape}, the model needs (rows, {n}); give the features "
                "that it was trained with, in their order"
            )
        x = self.scaler.apply(rows) if self.scaled else self.scaler.unscaled(rows)
        return torch.tensor(x, device=self.device)


class SavedModels:
    """The models of one training, that is, the dataset ``<paradigm>.<strategy>.models``.

    What kind of network it is, and how deep each country's extension, is read off the arrays.
    """

    def __init__(
        self,
        models: Mapping[str, np.ndarray],
        parameters: ParadigmParameters,
        data: FederationData | None = None,
    ) -> None:
        """Sort the arrays by seed and country.

        Args:
            models: arrays by name, as :class:`ms_pfl.training.outcome.Outcome` says.
            parameters: of the training; read are the network, the protocol and the device.
            data: the training's; needed with ``protocol.scaling: country`` alone, where a country's
                rows are scaled by its own training rows, of which nothing is saved.
        """
        self._parameters = parameters
        self._data = data
        self._device = resolve_device(parameters.device)
        self._stamp = models.get(STAMP)
        self._shared: dict[int, dict[str, np.ndarray]] = {}
        self._personal: dict[int, dict[str, dict[str, np.ndarray]]] = {}
        self._scalers: dict[int, dict[str, np.ndarray]] = {}
        for name, array in models.items():
            if name == STAMP:
                continue
            head, part, rest = name.split("/", 2)
            seed = int(head.removeprefix("seed="))
            if part == "scaler":
                self._scalers.setdefault(seed, {})[rest] = array
            elif part == "shared":
                self._shared.setdefault(seed, {})[rest] = array
            else:  # a country's name may have a slash in it, an array's has none
                country, _, array_name = rest.rpartition("/")
                own = self._personal.setdefault(seed, {}).setdefault(country, {})
                own[array_name] = array

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained, sorted."""
        return tuple(sorted(self._scalers))

    def countries(self, seed: int) -> tuple[str, ...]:
        """Countries with arrays of their own in a seed, sorted; empty: one model for all."""
        return tuple(sorted(self._personal.get(seed, {})))

    def model(self, seed: int, country: str) -> SavedModel:
        """The model that a country predicts with.

        A model that all countries share predicts for any country, also one that did not train; the
        name then matters for ``protocol.scaling: country`` alone.

        Raises:
            InputError: the seed or the country was not trained, or the arrays do not fit the
                network that the parameters describe.
        """
        if seed not in self._scalers:
            trained = ", ".join(map(str, self.seeds)) or "none"
            raise InputError(f"there is no model of seed {seed}; trained were: {trained}")
        personal = self._personal.get(seed, {})
        if personal and country not in personal:
            raise InputError(
                f"{country} has no model of its own in seed {seed}; take a model that all "
                f"countries share, or one of: {', '.join(sorted(personal))}"
            )
        arrays = self._shared.get(seed, {}) | personal.get(country, {})
        protocol = self._parameters.protocol
        federated = Scaler(self._scalers[seed]["mean"], self._scalers[seed]["sd"])
        scaler = self._own_scaler(seed, country) if protocol.scaling == "country" else federated
        network = self._network(arrays, len(federated.mean)).to(self._device)
        return SavedModel(network, scaler, protocol.scaling != "none", self._device)

    def predict(self, seed: int, country: str, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of label 1, as :meth:`SavedModel.predict` gives them.

        For many calls of one seed and country, keep its :meth:`model`: each call here builds it.
        """
        return self.model(seed, country).predict(rows)

    def check(
        self, paradigm: str, strategy: str, data: FederationData, parameters: ParadigmParameters
    ) -> None:
        """See to it that these models come from a training on this data with these settings.

        Models of other splits have seen rows that are test rows now.

        Raises:
            InputError: they do not.
        """
        stamp = stamp_of(paradigm, strategy, PARADIGMS[paradigm].sections, data, parameters)
        if self._stamp is None or not np.array_equal(self._stamp, stamp):
            raise InputError(
                f"the saved models of {paradigm} ({strategy}) were trained on other data or "
                f"splits, or with other settings, than the present ones; {_AGAIN}"
            )

    def _own_scaler(self, seed: int, country: str) -> Scaler:
        if self._data is None or country not in self._data.countries:
            raise InputError(
                f"with protocol.scaling: country, rows of {country} are scaled by its own training "
                "rows; give the data that the models were trained on"
            )
        train = self._data.countries[country].client_data(seed).train
        return Scaler.from_sums([ScalerSums.of(train.x)])

    def _network(self, arrays: Mapping[str, np.ndarray], n_features: int) -> Network:
        told = self._parameters.model
        adaptive = any(name.startswith("combining.") for name in arrays)
        kind: ModelKind = "adaptive" if adaptive else "mlp"
        if adaptive:
            depth = sum(name.startswith("extension.") for name in arrays) // 2  # weight and bias
            tier = ExtensionTier(min_rows=0, layers=max(depth, 1))
            told = told.model_copy(update={"extension_tiers": (tier,)})
        network = build_model(kind, n_features, told, 0, 0)
        needed = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        if {name: array.shape for name, array in arrays.items()} != needed:
            raise InputError(
                f"the saved models do not fit the network set in parameters model; {_AGAIN}"
            )
        set_arrays(network, arrays)
        return network
