"""The study's way of working against ours, one round of the same network in turns.

``python benchmarks/published_way.py`` times rounds (32 clients, one local epoch, fit and evaluate,
283,115 rows x 42) of the 5 x 512 and the 3 x 128 MLP, Adam, batch 512, on two cores.

The stand-in works as the study's public code does (FL-MS-RWD; docs/study.md, flaw 12), written anew
and without its outer trappings (Hydra, wandb). A message rebuilds its client: that reads the table
of all countries twice (pandas pickle), cuts it into countries, splits each country's rows 60/20/20
with scikit-learn, fits and applies a StandardScaler to each, makes tensors of all of them, and
keeps one. ``train`` then passes a DataLoader (batch 512), validates with one and saves the model to
a file; ``evaluate`` passes the test rows through a DataLoader (batch 64). Losses are weighted by
class, predictions collected row by row. It runs on Flower's Ray simulation with two clients at a
time, one core and one torch thread each; a round there is one train and one evaluate message a
client, and FedAvg.

It is a fair one: same rows, network, optimizer, batch and epochs, the same two cores, the file
format that the study's code reads (pickle), and the Flower and PyTorch of this project, which are
newer than the study's. Timed is the second of its rounds, when processes and libraries are warm;
ours is the median of the three after the first. A round of theirs scores the validation rows after
training and the test rows after averaging, one of ours the validation rows, as it receives the
model; our test rows are read once, at the end. Memory is the peak over all processes of either,
each process tree started anew, PSS (shared pages once) and RSS; ours includes the start-up and the
first round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure import PeakMemory, apart, machine, table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from workload import (
    BATCH_SIZE,
    DROPOUT,
    LEARNING_RATE,
    N_FEATURES,
    STUDY_CLIENTS,
    STUDY_ROWS,
    WEIGHT_DECAY,
    Rounds,
    country_rows,
    federation_of,
    nodes_of,
    settings_of,
    wait_for_nodes,
)

from ms_pfl.federation.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Grid,
    Message,
    MetricRecord,
    RecordDict,
    to_arrays,
    to_record,
)
from ms_pfl.federation.parameters import FedAvgParameters, RayParameters
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.training.simulation import open_grid

WORKERS = 2
NETWORKS = ((5, 512, 5), (3, 128, 25))


def main(arguments: list[str] | None = None) -> int:
    """Time both ways in turns, or one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 x 16 and 5,000 rows")
    parser.add_argument("--turns", type=int, default=1, help="turns of each way (default: 1)")
    parser.add_argument("--one", nargs=5, metavar=("WAY", "LAYERS", "WIDTH", "ROWS", "FOLDER"))
    asked = parser.parse_args(arguments)
    if asked.one:
        way, layers, width, rows, folder = asked.one
        with PeakMemory() as memory:
            seconds = _WAYS[way](int(layers), int(width), int(rows), Path(folder))
        print(json.dumps({"seconds": seconds, "pss": memory.pss, "rss": memory.rss}))
        return 0
    networks = ((2, 16, 1),) if asked.quick else NETWORKS
    rows = 5000 if asked.quick else STUDY_ROWS
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder), rows)
        lines = []
        for layers, width, bound in networks:
            told: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
            for _ in range(asked.turns):
                for way in _WAYS:
                    told[way].append(apart(__file__, "--one", way, layers, width, rows, folder))
            theirs, ours = (_summary(told[way]) for way in ("published", "ours"))
            lines.append(
                [
                    f"{layers} x {width}",
                    theirs["seconds"],
                    ours["seconds"],
                    theirs["seconds"] / ours["seconds"],
                    f">= {bound}",
                    *(f"{way['pss']:,.0f} / {way['rss']:,.0f}" for way in (theirs, ours)),
                ]
            )
    print(
        table(
            [
                "network",
                "published way, s a round",
                "ours, s a round",
                "ratio",
                "bound",
                "published way, MiB (PSS / RSS)",
                "ours, MiB (PSS / RSS)",
            ],
            lines,
        )
    )
    print(f"\n{machine()}")
    return 0


def _summary(told: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median seconds and highest memory of all turns."""
    return {
        "seconds": statistics.median(value for turn in told for value in turn["seconds"]),
        "pss": max(turn["pss"] for turn in told),
        "rss": max(turn["rss"] for turn in told),
    }


def _ours(layers: int, width: int, rows: int, folder: Path) -> list[float]:
    data = federation_of(STUDY_CLIENTS, rows)
    ray = RayParameters(num_workers=WORKERS, address=None)
    with open_grid(data, nodes_of(data), ray, "cpu") as grid:
        return Rounds(grid, settings_of(layers, width)).seconds(4)[1:]


def _published(layers: int, width: int, rows: int, folder: Path) -> list[float]:
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    seconds: list[float] = []
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        strategy = make_strategy(FedAvgParameters(epochs=1))
        model = PointwiseModel(layers, width)
        arrays = to_record({name: value.numpy() for name, value in model.state_dict().items()})
        wait_for_nodes(grid, STUDY_CLIENTS)
        for number in (1, 2):
            began = time.perf_counter()
            messages = strategy.configure_train(number, arrays, ConfigRecord({}), grid)
            arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
            messages = list(
                strategy.flower.configure_evaluate(number, arrays, ConfigRecord({}), grid)
            )
            replies = list(grid.send_and_receive(messages))
            if len(replies) != STUDY_CLIENTS or any(reply.has_error() for reply in replies):
                raise RuntimeError("a client did not evaluate")
            seconds.append(time.perf_counter() - began)

    logging.getLogger("flwr").setLevel(logging.ERROR)
    config: Any = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"num_cpus": WORKERS, "log_to_driver": False, "logging_level": logging.ERROR},
    }
    app = published_app(layers, width, folder)
    run_simulation(server, app, STUDY_CLIENTS, backend_config=config)
    return seconds[1:]


_WAYS = {"published": _published, "ours": _ours}


def write_table(folder: Path, rows: int) -> None:
    """The table of all countries' rows, float64 as in the study, and the names of its columns."""
    names = [f"x{i}" for i in range(N_FEATURES)]
    parts = []
    for country, (x, y) in country_rows(STUDY_CLIENTS, rows).items():
        part = pd.DataFrame(x.astype(np.float64), columns=names)
        parts.append(part.assign(country=country, label=y.astype(np.int64)))
    episodes = pd.concat(parts, ignore_index=True)
    episodes.insert(0, "patient_id", np.arange(len(episodes)) // 11)
    episodes.to_pickle(folder / "episodes.pkl")
    pd.to_pickle(names, folder / "columns.pkl")


class PointwiseModel(nn.Module):
    """The study's MLP: linear layers with ReLU and dropout, one output unit."""

    def __init__(self, layers: int, width: int) -> None:
        """With torch's initial weights."""
        super().__init__()
        sizes = [N_FEATURES, *[width] * layers]
        hidden = [
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(DROPOUT))
            for a, b in itertools.pairwise(sizes)
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape ``(rows, 1)``."""
        logits: Tensor = self.layers(x)
        return logits


class RebuiltClient:
    """A client as the study builds it for each message."""

    def __init__(self, layers: int, width: int, folder: Path, number: int) -> None:
        """Read, cut, split and scale all countries; keep one."""
        self._folder, self._number = folder, number
        self._splits = self._load()[number]
        labels = self._splits["train"].tensors[1]
        ones = int(labels.sum())
        zeros = len(labels) - ones
        weight = torch.tensor([zeros / ones]) if ones and zeros else None
        self._criterion = nn.BCEWithLogitsLoss(pos_weight=weight)
        self.model = PointwiseModel(layers, width)

    def _load(self) -> list[dict[str, TensorDataset]]:
        from sklearn.model_selection import train_test_split
        from sklearn.preprocessing import StandardScaler

        episodes = self._read()
        sizes = episodes["country"].value_counts()
        episodes = episodes[~episodes["country"].isin(sizes[sizes < 5].index)]
        countries = [
            episodes.loc[episodes["country"] == country].reset_index(drop=True)
            for country in episodes["country"].unique()
        ]
        self._read()  # the study's code reads it a second time for the names of the columns
        names = pd.read_pickle(self._folder / "columns.pkl")
        made = []
        for rows in countries:
            x, y = rows[names].values, rows["label"].astype(int).values
            rest_x, test_x, rest_y, test_y = train_test_split(x, y, test_size=0.2, random_state=42)
            train_x, validation_x, train_y, validation_y = train_test_split(
                rest_x, rest_y, test_size=0.25, random_state=42
            )
            scaler = StandardScaler().fit(train_x)
            made.append(
                {
                    name: TensorDataset(torch.Tensor(scaler.transform(a)), torch.LongTensor(b))
                    for name, a, b in (
                        ("train", train_x, train_y),
                        ("validation", validation_x, validation_y),
                        ("test", test_x, test_y),
                    )
                }
            )
        return made

    def _read(self) -> pd.DataFrame:
        pd.read_pickle(self._folder / "columns.pkl")
        return pd.read_pickle(self._folder / "episodes.pkl")

    def fit(self) -> int:
        """One epoch, its validation, and the model to a file; the number of training rows."""
        self.model.train()
        optimizer = torch.optim.Adam(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        for x, y in DataLoader(self._splits["train"], BATCH_SIZE, shuffle=True):
            optimizer.zero_grad()
            loss = self._criterion(self.model(x), y.unsqueeze(-1).float())
            loss.backward()
            optimizer.step()
            loss.item()
        self.score("validation", BATCH_SIZE)
        torch.save(self.model.state_dict(), self._folder / f"client_{self._number}.pt")
        return len(self._splits["train"])

    def score(self, split: str, batch_size: int) -> float:
        """ROC-AUC of a split, -1 with one class; loss and AUC-PR on the way."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        self.model.eval()
        outputs: list[np.ndarray] = []
        targets: list[np.ndarray] = []
        with torch.no_grad():
            for x, y in DataLoader(self._splits[split], batch_size, shuffle=False):
                output = self.model(x)
                self._criterion(output, y.unsqueeze(-1).float()).item()
                outputs.extend(torch.sigmoid(output).numpy())
                targets.extend(y.numpy())
        probabilities = [1 / (1 + np.exp(-output)) for output in outputs]
        if len(np.unique(targets)) == 1:
            return -1.0
        average_precision_score(targets, probabilities)
        return float(roc_auc_score(targets, probabilities))


def published_app(layers: int, width: int, folder: Path) -> ClientApp:
    """A ClientApp that rebuilds its client for each message."""
    app = ClientApp()

    def client(message: Message, context: Context) -> RebuiltClient:
        torch.set_num_threads(1)
        made = RebuiltClient(layers, width, folder, int(context.node_config["partition-id"]))
        arrays = to_arrays(message.content["arrays"])
        made.model.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
        return made

    @app.train()
    def train(message: Message, context: Context) -> Message:
        made = client(message, context)
        metrics = MetricRecord({"num-examples": made.fit()})
        state = made.model.state_dict()
        arrays = to_record({name: value.numpy() for name, value in state.items()})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        roc_auc = client(message, context).score("test", 64)
        metrics = MetricRecord({"num-examples": 1, "roc-auc": roc_auc})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


if __name__ == "__main__":
    raise SystemExit(main())
