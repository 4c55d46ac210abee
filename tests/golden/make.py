#!/usr/bin/env python3
"""Makes the golden files beside it: what PyTorch, in float64, says of the detector in `src/cli/demo.onnx`.

    python3 -m venv env && env/bin/pip install numpy onnx torch torchvision
    env/bin/python tests/golden/make.py

The network is run from the file's own nodes, so nothing here knows how it is built. README.md tells what the files hold.
"""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import torchvision
from onnx import numpy_helper

HERE = Path(__file__).resolve().parent
NETWORK = HERE.parent.parent / "src/cli/demo.onnx"
SIZE = 224
COLUMNS = 9
# Objects of each image: ymin, xmin, ymax, xmax as shares of the image, and the column of the class. The third has none.
OBJECTS = [
    [(0.08, 0.10, 0.42, 0.38, 1), (0.30, 0.33, 0.92, 0.86, 5), (0.04, 0.62, 0.18, 0.70, 8), (0.31, 0.35, 0.90, 0.88, 2)],
    [(0.00, 0.00, 1.00, 1.00, 3), (0.44, 0.41, 0.52, 0.53, 7)],
    [],
]
VARIANCES = (0.1, 0.1, 0.2, 0.2)

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def image(number):
    """Bytes [3,S,S]: a ramp that differs by channel, with noise of Knuth's MMIX generator on it."""
    state, out = number + 1, np.zeros((3, SIZE, SIZE), np.uint8)
    for c in range(3):
        for y in range(SIZE):
            for x in range(SIZE):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                ramp = (2 * x * (c + 1) + y * (5 - c)) // 4 % 160
                out[c, y, x] = ramp + (state >> 40) % 96
    return out


class Network:
    """An ONNX graph as PyTorch operations; the floats of convolutions are parameters."""

    def __init__(self, dtype=torch.float64):
        self.graph = onnx.load(NETWORK).graph
        self.constants, self.parameters = {}, {}
        convolved = {name for node in self.graph.node if node.op_type == "Conv" for name in node.input[1:]}
        for tensor in self.graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            if tensor.name in convolved:
                self.parameters[tensor.name] = value.to(dtype).requires_grad_()
            else:
                self.constants[tensor.name] = value

    def __call__(self, images):
        values = {**self.constants, **self.parameters, self.graph.input[0].name: images}
        for node in self.graph.node:
            inputs = [values[name] for name in node.input]
            values[node.output[0]] = self.operation(node, inputs)
        return values["class_logits"], values["box_encodings"]

    @staticmethod
    def operation(node, inputs):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Conv":
            top, left, bottom, right = attributes["pads"]
            padded = F.pad(inputs[0], (left, right, top, bottom))
            return F.conv2d(padded, inputs[1], inputs[2], attributes["strides"], groups=attributes["group"])
        if node.op_type == "Clip":
            assert (float(inputs[1]), float(inputs[2])) == (0.0, 6.0)
            return F.relu6(inputs[0])
        if node.op_type == "Transpose":
            return inputs[0].permute(*attributes["perm"])
        if node.op_type == "Reshape":
            # As in ONNX, a zero keeps the dimension that is there.
            shape = [n if n != 0 else inputs[0].shape[i] for i, n in enumerate(inputs[1].tolist())]
            return inputs[0].reshape(shape)
        if node.op_type == "Add":
            return inputs[0] + inputs[1]
        if node.op_type == "Concat":
            return torch.cat(inputs, attributes["axis"])
        raise ValueError(node.op_type)


def anchors(maps):
    """[A,4]: centre y, centre x, height, width of TensorFlow's SSD anchor generator, in the order of the heads."""
    last = len(maps) - 1
    scales = [0.2 + 0.75 * k / last for k in range(len(maps))] + [1.0]
    rows = []
    for k, cells in enumerate(maps):
        shapes = [(scales[k], aspect) for aspect in (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)]
        shapes.append((math.sqrt(scales[k] * scales[k + 1]), 1.0))
        if k == 0:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        for y in range(cells):
            for x in range(cells):
                for scale, aspect in shapes:
                    root = math.sqrt(aspect)
                    rows.append(((y + 0.5) / cells, (x + 0.5) / cells, scale / root, scale * root))
    return np.array(rows)


ANCHORS = anchors([14, 7, 4, 2, 1, 1])


def corners(centres):
    y, x, h, w = centres.T
    return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 1)


def overlaps(objects):
    """IoU [G,A] of the objects with the anchors."""
    return torchvision.ops.box_iou(torch.tensor(objects), torch.tensor(corners(ANCHORS))).numpy()


def match(objects):
    """The object of each anchor [A], or -1; and the IoUs [G,A].

    An anchor takes the object that it overlaps most from an IoU of 0.5 on. Then, object by object, the largest IoU left
    in the matrix gives its anchor to its object, and both leave.
    """
    owner = np.full(len(ANCHORS), -1)
    if not objects:
        return owner, np.zeros((0, len(ANCHORS)))
    iou = overlaps([o[:4] for o in objects])
    taken = iou.max(0) >= 0.5
    owner[taken] = iou.argmax(0)[taken]
    left = iou.copy()
    for _ in objects:
        g, a = np.unravel_index(left.argmax(), left.shape)
        if left[g, a] <= 0:
            break
        owner[a] = g
        left[g, :], left[:, a] = -1, -1
    return owner, iou


def encode(anchor, box):
    (ay, ax, ah, aw), (y0, x0, y1, x1) = anchor, box
    raw = ((y0 + y1) / 2 - ay) / ah, ((x0 + x1) / 2 - ax) / aw, math.log((y1 - y0) / ah), math.log((x1 - x0) / aw)
    return [value / variance for value, variance in zip(raw, VARIANCES)]


def decode(encodings):
    a, v = torch.tensor(ANCHORS), VARIANCES
    y, x = encodings[..., 0] * v[0] * a[:, 2] + a[:, 0], encodings[..., 1] * v[1] * a[:, 3] + a[:, 1]
    h, w = torch.exp(encodings[..., 2] * v[2]) * a[:, 2], torch.exp(encodings[..., 3] * v[3]) * a[:, 3]
    return torch.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)


def targets():
    columns = torch.zeros(len(OBJECTS), len(ANCHORS), dtype=torch.long)
    boxes = torch.zeros(len(OBJECTS), len(ANCHORS), 4)
    matching = []
    for n, objects in enumerate(OBJECTS):
        owner, iou = match(objects)
        positives = []
        for a in np.nonzero(owner >= 0)[0]:
            g = owner[a]
            columns[n, a] = objects[g][4]
            target = encode(ANCHORS[a], objects[g][:4])
            boxes[n, a] = torch.tensor(target)
            positives.append([int(a), int(g), float(iou[g, a]), *target])
        matching.append(positives)
    return columns, boxes, matching


def negatives(entropy, positive):
    """Per image the hardest negatives: three for each positive, three where there is none; lower anchors first on ties."""
    chosen = []
    for n in range(len(entropy)):
        count = 3 * int(positive[n].sum()) or 3
        hardness = entropy[n].detach().clone()
        hardness[positive[n]] = -1.0
        order = torch.sort(hardness, descending=True, stable=True)[1]
        chosen.append(sorted(order[:count].tolist()))
    return chosen


def loss(kind, logits, deltas, columns, boxes):
    """Class and box loss, divided by the number of positives of the batch; and the negatives that were mined."""
    positive, mined = columns > 0, []
    if kind == "ce":
        entropy = F.cross_entropy(logits.flatten(0, 1), columns.flatten(), reduction="none").view(columns.shape)
        mined = negatives(entropy, positive)
        counted = positive.clone()
        for n, anchors_of_image in enumerate(mined):
            counted[n, anchors_of_image] = True
        class_loss = entropy[counted].sum()
    else:
        wanted = F.one_hot(columns, COLUMNS)[..., 1:].double()
        focal = torchvision.ops.sigmoid_focal_loss(logits[..., 1:].double(), wanted, alpha=0.25, gamma=2.0)
        class_loss = focal.sum()
    box_loss = F.smooth_l1_loss(deltas[positive], boxes[positive].to(deltas.dtype), reduction="sum", beta=1.0)
    normaliser = max(1, int(positive.sum()))
    return class_loss / normaliser, box_loss / normaliser, mined


def samples(tensor, count, seed):
    """Some values of a tensor, each after its flat index."""
    flat = tensor.detach().flatten()
    indices = np.random.default_rng(seed).choice(len(flat), min(count, len(flat)), replace=False)
    return [[int(i), float(flat[i])] for i in sorted(indices)]


def norm(tensor):
    return float(tensor.detach().norm())


def forward_file(network, images, planes):
    logits, deltas = network(images)
    return {
        "bytes_sum": [int(plane.sum()) for plane in planes],
        "first_bytes": [plane[:, 0, :4].tolist() for plane in planes],
        "class_logits": [{"norm": norm(t), "samples": samples(t, 48, 1)} for t in logits],
        "box_encodings": [{"norm": norm(t), "samples": samples(t, 48, 2)} for t in deltas],
    }


def loss_file(network, images, columns, boxes, matching):
    out = {"objects": OBJECTS, "matching": matching, "normaliser": max(1, int((columns > 0).sum()))}
    for kind in ("ce", "focal"):
        for parameter in network.parameters.values():
            parameter.grad = None
        class_loss, box_loss, mined = loss(kind, *network(images), columns, boxes)
        (class_loss + box_loss).backward()
        gradients = [
            {"name": name, "norm": norm(p.grad), "samples": samples(p.grad, 4, i)}
            for i, (name, p) in enumerate(network.parameters.items())
        ]
        out[kind] = {
            "class_loss": float(class_loss.detach()),
            "box_loss": float(box_loss.detach()),
            "negatives": mined,
            "gradients": gradients,
        }
    return out


def steps_file(images, columns, boxes):
    """Class and box loss before each of ten steps on the same batch, and after the last."""
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=5e-5, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=3e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    }
    out = {}
    for name, make in optimizers.items():
        network, losses = Network(), []
        optimizer = make(list(network.parameters.values()))
        for step in range(11):
            class_loss, box_loss, _ = loss("ce", *network(images), columns, boxes)
            losses.append([float(class_loss.detach()), float(box_loss.detach())])
            if step < 10:
                optimizer.zero_grad()
                (class_loss + box_loss).backward()
                optimizer.step()
        out[name] = losses
    return out


def keep(boxes, scores, threshold):
    kept = torchvision.ops.nms(torch.tensor(boxes), torch.tensor(scores), threshold)
    return kept.tolist()


def boxes_file(network, images):
    rng = np.random.default_rng(3)
    suppression = []
    for count, threshold in ((30, 0.5), (30, 0.3), (60, 0.6)):
        centres, sizes = rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))
        boxes = np.round(np.concatenate([centres - sizes / 2, centres + sizes / 2], 1), 4).tolist()
        scores = np.round(rng.permutation(count) / count * 0.9 + 0.05, 4).tolist()
        suppression.append({"iou_threshold": threshold, "boxes": boxes, "scores": scores})
    # An IoU of exactly the threshold stays.
    suppression.append({"iou_threshold": 0.5, "boxes": [[0, 0, 1, 1], [0, 0, 1, 0.5]], "scores": [0.9, 0.8]})
    for case in suppression:
        case["keep"] = keep(np.array(case["boxes"], float).tolist(), case["scores"], case["iou_threshold"])
    decoded = []
    for anchor in (0, 301, 587, 588, 881, 978, 1002, 1013):
        encodings = torch.zeros(len(ANCHORS), 4)
        encodings[anchor] = torch.tensor(np.round(rng.normal(0, 2, 4), 3))
        decoded.append([anchor, *encodings[anchor].tolist(), *decode(encodings)[anchor].tolist()])
    with torch.no_grad():
        logits, deltas = network(images)
    detections = []
    for scores, boxes in zip(logits.softmax(-1)[..., 1:], decode(deltas).clamp(0, 1)):
        anchor, label = (scores > 0.05).nonzero(as_tuple=True)
        found = torchvision.ops.batched_nms(boxes[anchor], scores[anchor, label], label, 0.5)[:20]
        anchor, label = anchor[found], label[found]
        rows = zip(anchor.tolist(), label.tolist(), scores[anchor, label].tolist(), boxes[anchor].tolist())
        detections.append([[a, c, s, *b] for a, c, s, b in rows])
    picked = [0, 1, 2, 3, 587, 588, 593, 881, 882, 978, 1002, 1008, 1013]
    return {
        "anchors": len(ANCHORS),
        "anchor_sums": ANCHORS.sum(0).tolist(),
        "anchor_samples": [[i, *ANCHORS[i].tolist()] for i in picked],
        "decoded": decoded,
        "suppression": suppression,
        "detections": detections,
    }


def write(name, content):
    """One line for each entry of the outermost lists, so that a change can be read."""
    text = json.dumps(content, separators=(",", ":"))
    text = text.replace('],"', '],\n"').replace('},{"name"', '},\n{"name"').replace('},{', '},\n{') + "\n"
    json.loads(text)
    (HERE / name).write_text(text)
    print(f"{name}: {len(text) / 1024:.0f} KB")


def main():
    planes = [image(n) for n in range(len(OBJECTS))]
    images = torch.from_numpy(np.stack(planes)).double() / 127.5 - 1.0
    columns, boxes, matching = targets()
    network = Network()
    write("forward.json", forward_file(network, images, planes))
    write("loss.json", loss_file(network, images, columns, boxes, matching))
    write("steps.json", steps_file(images, columns, boxes))
    write("boxes.json", boxes_file(network, images))


if __name__ == "__main__":
    main()
