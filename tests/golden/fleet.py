"""Writes fleet.json: messages as Flower's own code makes them. Needs `pip install flwr numpy`."""

import json
from base64 import b64encode
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

RUN, NODE = 2**64 - 5, 2**63 + 7


def metadata(kind: str, reply_to: str = "") -> Metadata:
    ends = (NODE, 1) if reply_to else (1, NODE)
    return Metadata(
        run_id=RUN, message_id="", src_node_id=ends[0], dst_node_id=ends[1], reply_to_message_id=reply_to,
        group_id="3", created_at=1_800_000_000.25, ttl=3600.0, message_type=kind,
        src_task_id=None if reply_to else 11, dst_task_id=11 if reply_to else None,
    )


def told(message: Message) -> dict:
    text = lambda data: b64encode(data).decode()
    message.metadata.__dict__["_message_id"] = message.object_id
    proto = message_to_proto(message)
    if message.has_content():
        proto.content.Clear()
        proto.content.SetInParent()
    return {
        "message": text(proto.SerializeToString(deterministic=True)),
        "tree": text(get_object_tree(message).SerializeToString(deterministic=True)),
        "objects": {name: text(each.deflate()) for name, each in get_all_nested_objects(message).items()},
    }


arrays = ArrayRecord({
    "stem/weights": Array((np.arange(54, dtype=np.float32) - 7).reshape(2, 3, 3, 3)),
    "stem/bias": Array(np.array([0.5, -0.25], np.float16)),
    "codes": Array(np.array([[-128, 127], [0, 1]], np.int8)),
    "scalar": Array(np.array(1.5, np.float32)),
    "same": Array(np.array(1.5, np.float32)),
    "empty": Array(np.zeros((0, 4), np.float32)),
})
config = ConfigRecord({
    "server-round": 3, "lr": 0.125, "measure": True, "recipe": "hold = 0.0", "raw": b"\x00\xff",
    "class-names": ["cat", "dog"], "steps": [1, -2], "rates": [0.5, 1.5], "flags": [True, False],
})
question = make_message(metadata("train"), content=RecordDict({"arrays": arrays, "config": config}))
asked = told(question)

metrics = MetricRecord({"loss": 0.5, "num-examples": 12, "per-class": [0.25, 0.75], "seen": [3, 4]})
notes = ConfigRecord({"update": "int8"})
answer = make_message(
    metadata("train", question.object_id), content=RecordDict({"arrays": arrays, "metrics": metrics, "notes": notes})
)
failed = make_message(metadata("train", question.object_id), error=Error(code=2, reason="no room"))
chunked = ArrayRecord({"large": Array(np.zeros(3_000_000, np.float32))})
large = make_message(metadata("train", question.object_id), content=RecordDict({"arrays": chunked, "metrics": metrics}))
large_told = told(large)
large_told["objects"] = sorted(large_told["objects"])  # 5 MB of zeros: their names do

wide = ArrayRecord({"wide": Array(np.array([0.1, 1e300], np.float64))})
doubles = make_message(metadata("evaluate"), content=RecordDict({"parameters": wide, "config": ConfigRecord()}))

Path(__file__).with_suffix(".json").write_text(json.dumps({
    "question": asked, "answer": told(answer), "failed": told(failed), "large": large_told, "doubles": told(doubles),
}, indent=1) + "\n")
