"""SSD-MobileNet-V2, plain or SSDLite, at 300x300 in PyTorch: the network, loss and made-up batch of `fieldtune bench step`.

Batch norm is folded into weights and biases, as in a network that is fine-tuned. Padding is TensorFlow's SAME.
"""

import torch
import torch.nn.functional as F
from torch import nn

# (expansion, channels, repeats, stride of the first) of the inverted residuals: MobileNetV2, table 2.
GROUPS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
EXTRAS = [(256, 512), (128, 256), (128, 256), (64, 128)]
TAP = 13  # the block whose expansion is the first feature map


class Conv(nn.Module):
    """Convolution, bias and ReLU6, with the padding that makes the output ceil(input / stride) wide."""

    def __init__(self, cin, cout, kernel=1, stride=1, groups=1, activation=True):
        super().__init__()
        fan_in = cin // groups * kernel * kernel
        self.weight = nn.Parameter(torch.randn(cout, cin // groups, kernel, kernel) * (2 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(cout))
        self.kernel, self.stride, self.groups, self.activation = kernel, stride, groups, activation

    def forward(self, x):
        sides = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            sides += [total // 2, total - total // 2]
        if sides[0] == sides[1] and sides[2] == sides[3]:
            y = F.conv2d(x, self.weight, self.bias, self.stride, (sides[2], sides[0]), 1, self.groups)
        else:
            y = F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride, 0, 1, self.groups)
        return F.relu6(y) if self.activation else y


def depthwise(channels, stride=1):
    return Conv(channels, channels, 3, stride, channels)


class InvertedResidual(nn.Module):
    def __init__(self, cin, cout, expansion, stride):
        super().__init__()
        wide = cin * expansion
        self.expand = Conv(cin, wide) if expansion > 1 else None
        self.depthwise = depthwise(wide, stride)
        self.project = Conv(wide, cout, activation=False)
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        """The block's output and its expansion."""
        wide = self.expand(x) if self.expand else x
        y = self.project(self.depthwise(wide))
        return (x + y if self.residual else y), wide


class SsdLite(nn.Module):
    """`[N,3,300,300]` -> logits `[N,1917,columns]` and encodings `[N,1917,4]`.

    `plain` makes it the SSD: dense 3x3 extras, predictors without depthwise.
    """

    def __init__(self, classes, plain=False):
        super().__init__()
        self.columns = classes + 1
        self.stem = Conv(3, 32, 3, 2)
        blocks, cin = [], 32
        for expansion, cout, repeats, stride in GROUPS:
            for i in range(repeats):
                blocks.append(InvertedResidual(cin, cout, expansion, stride if i == 0 else 1))
                cin = cout
        self.blocks = nn.ModuleList(blocks)
        self.last = Conv(320, 1280)
        extras, channels = [], [576, 1280]
        for reduce, cout in EXTRAS:
            wide = [Conv(reduce, cout, 3, 2)] if plain else [depthwise(reduce, 2), Conv(reduce, cout)]
            extras.append(nn.Sequential(Conv(channels[-1], reduce), *wide))
            channels.append(cout)
        self.extras = nn.ModuleList(extras)
        per_cell = [3, 6, 6, 6, 6, 6]
        heads = []
        for c, a in zip(channels, per_cell):
            for numbers in (self.columns, 4):
                before = [] if plain else [depthwise(c)]
                heads.append(nn.Sequential(*before, Conv(c, a * numbers, activation=False)))
        self.heads = nn.ModuleList(heads)

    def forward(self, x):
        x, maps = self.stem(x), []
        for i, block in enumerate(self.blocks):
            x, wide = block(x)
            if i == TAP:
                maps.append(wide)
        x = self.last(x)
        maps.append(x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        outputs = ([], [])
        for i, head in enumerate(self.heads):
            y = head(maps[i // 2]).permute(0, 2, 3, 1)
            outputs[i % 2].append(y.reshape(y.shape[0], -1, (self.columns, 4)[i % 2]))
        return torch.cat(outputs[0], 1), torch.cat(outputs[1], 1)

    def freeze(self, stages):
        """Takes the first stages out of training: the stem, the blocks, the last layer."""
        for part in [self.stem, *self.blocks, self.last][:stages]:
            part.requires_grad_(False)


def batch(n, classes, anchors=1917, positives=8):
    """Images `[n,3,300,300]`, a class per anchor (0 the background) and encodings: the same for every image."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 3, 300, 300, generator=generator) * 2 - 1
    labels = torch.zeros(n, anchors, dtype=torch.long)
    at = torch.arange(positives) * (anchors // positives)
    labels[:, at] = 1 + torch.arange(positives) % classes
    encodings = torch.randn(1, anchors, 4, generator=generator).repeat(n, 1, 1)
    return images, labels, encodings


def ssd_loss(logits, encodings, labels, targets):
    """Cross-entropy with three mined negatives a positive, and smooth L1 (SSD, section 2.2), over the positives."""
    positive = labels > 0
    entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    hardness = entropy.detach().masked_fill(positive, -1.0)
    rank = hardness.argsort(1, descending=True).argsort(1)
    chosen = positive | (rank < 3 * positive.sum(1, keepdim=True))
    boxes = F.smooth_l1_loss(encodings[positive], targets[positive], reduction="sum")
    return ((entropy * chosen).sum() + boxes) / positive.sum()
