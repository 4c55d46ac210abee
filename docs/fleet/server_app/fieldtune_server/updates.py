"""Answers of Fieldtune's nodes: differences from the round's start, written in few bytes (see the README)."""

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord


def difference(sent: ArrayRecord, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """The change of one array as float32, or None where the node sent none."""
    if f"{name}:codes" in sent:  # four codes to a byte, the first in its lowest bits
        packed = sent[f"{name}:codes"].numpy().view(np.uint8)
        codes = (packed[:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).reshape(-1)
        values = codes[: int(np.prod(shape))].astype(np.float32) - 1.5
    elif name in sent:
        values = sent[name].numpy().astype(np.float32)
    else:
        return None
    if f"{name}:scale" in sent:  # one for each output channel
        values = values.reshape(shape[0], -1) * sent[f"{name}:scale"].numpy()[:, None]
    return values.reshape(shape)


def whole(start: ArrayRecord, message) -> ArrayRecord:
    """All arrays as the node means them: what it did not send is as the round began."""
    sent, notes = message.content["arrays"], message.content.get("notes", {})
    is_change = notes.get("update", "float32") != "float32"
    arrays = {}
    for name, array in start.items():
        change = difference(sent, name, array.shape)
        if change is None or not is_change:
            arrays[name] = array if change is None else Array(change)
        else:
            arrays[name] = Array(array.numpy().astype(np.float32) + change)
    return ArrayRecord(arrays)


def average_classes(start: ArrayRecord, messages: list) -> None:
    """A class's rows weigh as many of its objects as a node has, not the node's photos: who has none has no say."""
    if not all("class-examples" in m.content["metrics"] for m in messages):
        return
    counts = np.array([m.content["metrics"]["class-examples"] for m in messages], np.float64)
    photos = np.array([m.content["metrics"]["num-examples"] for m in messages], np.float64)
    weights = np.concatenate([photos[:, None], counts], axis=1)  # column 0 is the background
    weights /= np.maximum(weights.sum(axis=0), 1e-9)
    for name, array in start.items():
        if "/ClassPredictor/" not in name:
            continue
        begin, columns = array.numpy().astype(np.float32), weights.shape[1]
        rows = begin.reshape(-1, columns, begin.size // begin.shape[0])
        mean = rows.copy()
        for message, weight in zip(messages, weights):
            own = message.content["arrays"][name].numpy().reshape(rows.shape)
            mean += weight[None, :, None].astype(np.float32) * (own - rows)
        for message in messages:
            message.content["arrays"][name] = Array(mean.reshape(begin.shape))


def common_metrics(messages: list) -> None:
    """Keeps the figures that all nodes sent: Flower averages nothing else."""
    common = set.intersection(*(set(m.content["metrics"]) for m in messages))
    common -= {"class-examples"}
    for message in messages:
        metrics = message.content["metrics"]
        message.content["metrics"] = MetricRecord({key: metrics[key] for key in sorted(common)})
