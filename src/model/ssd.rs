//! SSD-MobileNet-V2, plain or SSDLite, as a tree of convolutions.
//!
//! The tree is generic over what stands at each convolution: its shape ([`super::ConvSpec`]), its numbers
//! ([`super::ConvWeights`]), its tensor names, or the layer that runs. One walk order serves them all:
//! stem, blocks, last, extras, heads, and inside each the order of the fields.

use super::convention::Convention;
use serde::{Deserialize, Serialize};

/// Inverted residual: 1x1 expand (absent where the expansion is 1), depthwise, 1x1 linear project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block<L> {
    pub expand: Option<L>,
    pub depthwise: L,
    pub project: L,
    /// True if the block's input is added to its output (stride 1 and equal widths).
    pub residual: bool,
}

/// One extra feature map: 1x1 reduce, then 3x3 at stride 2, and where that is depthwise a 1x1 expand.
///
/// SSDLite's `spatial` is depthwise, the plain SSD's dense and the last. The layers' own specs say where ReLU6 follows;
/// pytorch-ssd's `expand` is linear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extra<L> {
    pub reduce: L,
    #[serde(alias = "depthwise")]
    pub spatial: L,
    pub expand: Option<L>,
}

/// The two predictors on one feature map, each a depthwise 3x3 (some exporters leave it out) and a linear 1x1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head<L> {
    pub box_depthwise: Option<L>,
    /// 1x1 to `anchors_per_cell * 4` channels, anchor-major, each ty, tx, th, tw.
    pub box_predictor: L,
    pub class_depthwise: Option<L>,
    /// 1x1 to `anchors_per_cell * K` channels, anchor-major, column 0 the background.
    pub class_predictor: L,
    pub anchors_per_cell: usize,
}

/// The whole detector. Feature map 0 is the expansion (after ReLU6) of block [`Ssd::tap`]; map 1 is `last`;
/// the rest are the extras in order. `heads[i]` reads feature map i.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ssd<L> {
    /// 3x3, stride 2, 3 input channels (RGB, in [-1, 1]).
    pub stem: L,
    pub blocks: Vec<Block<L>>,
    /// Index of the block whose expansion is feature map 0 (13 in MobileNetV2).
    pub tap: usize,
    /// 1x1 to the backbone's last width (`Conv_1`).
    pub last: L,
    pub extras: Vec<Extra<L>>,
    pub heads: Vec<Head<L>>,
    /// Columns of the class predictors, background included.
    pub classes: usize,
    /// The meaning of the heads' numbers.
    #[serde(default)]
    pub convention: Convention,
}

/// The place of a convolution, for learning rates, freezing and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    Stem,
    Block(usize),
    Last,
    Extra(usize),
    BoxHead(usize),
    ClassHead(usize),
}

impl Stage {
    /// Stem, blocks and last: what a pretrained classifier brings along.
    pub fn is_backbone(self) -> bool {
        matches!(self, Stage::Stem | Stage::Block(_) | Stage::Last)
    }
}

impl<L> Block<L> {
    fn map<M>(&self, stage: Stage, f: &mut impl FnMut(Stage, &L) -> M) -> Block<M> {
        Block {
            expand: self.expand.as_ref().map(|l| f(stage, l)),
            depthwise: f(stage, &self.depthwise),
            project: f(stage, &self.project),
            residual: self.residual,
        }
    }
}

impl<L> Extra<L> {
    /// The same extra with `f` applied to every convolution.
    pub fn map_layers<M>(&self, f: &mut impl FnMut(&L) -> M) -> Extra<M> {
        self.map(Stage::Extra(0), &mut |_, layer| f(layer))
    }

    fn map<M>(&self, stage: Stage, f: &mut impl FnMut(Stage, &L) -> M) -> Extra<M> {
        Extra {
            reduce: f(stage, &self.reduce),
            spatial: f(stage, &self.spatial),
            expand: self.expand.as_ref().map(|l| f(stage, l)),
        }
    }

    /// Its layers in order.
    pub fn layers(&self) -> impl Iterator<Item = &L> {
        [&self.reduce, &self.spatial].into_iter().chain(&self.expand)
    }

    /// Its layers in order, mutable.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut L> {
        [&mut self.reduce, &mut self.spatial].into_iter().chain(&mut self.expand)
    }

    /// The layer that puts out the feature map.
    pub fn output(&self) -> &L {
        self.expand.as_ref().unwrap_or(&self.spatial)
    }
}

impl<L> Head<L> {
    /// The same head with `f` applied to every convolution.
    pub fn map_layers<M>(&self, f: &mut impl FnMut(&L) -> M) -> Head<M> {
        self.map(0, &mut |_, layer| f(layer))
    }

    fn map<M>(&self, i: usize, f: &mut impl FnMut(Stage, &L) -> M) -> Head<M> {
        Head {
            box_depthwise: self.box_depthwise.as_ref().map(|l| f(Stage::BoxHead(i), l)),
            box_predictor: f(Stage::BoxHead(i), &self.box_predictor),
            class_depthwise: self.class_depthwise.as_ref().map(|l| f(Stage::ClassHead(i), l)),
            class_predictor: f(Stage::ClassHead(i), &self.class_predictor),
            anchors_per_cell: self.anchors_per_cell,
        }
    }
}

impl<L> Ssd<L> {
    /// The same tree with `f` applied to every convolution, in walk order.
    pub fn map<M>(&self, mut f: impl FnMut(Stage, &L) -> M) -> Ssd<M> {
        let f = &mut f;
        Ssd {
            stem: f(Stage::Stem, &self.stem),
            blocks: self.blocks.iter().enumerate().map(|(i, b)| b.map(Stage::Block(i), f)).collect(),
            tap: self.tap,
            last: f(Stage::Last, &self.last),
            extras: self.extras.iter().enumerate().map(|(i, e)| e.map(Stage::Extra(i), f)).collect(),
            heads: self.heads.iter().enumerate().map(|(i, h)| h.map(i, f)).collect(),
            classes: self.classes,
            convention: self.convention.clone(),
        }
    }

    /// The same tree with each convolution's position in walk order.
    pub fn positions(&self) -> Ssd<usize> {
        let mut next = 0..;
        self.map(|_, _| next.next().expect("the range has no end"))
    }

    /// Every convolution with its stage, in walk order.
    pub fn convs(&self) -> Vec<(Stage, &L)> {
        let mut all = vec![(Stage::Stem, &self.stem)];
        for (i, b) in self.blocks.iter().enumerate() {
            all.extend(b.expand.iter().chain([&b.depthwise, &b.project]).map(|l| (Stage::Block(i), l)));
        }
        all.push((Stage::Last, &self.last));
        for (i, e) in self.extras.iter().enumerate() {
            all.extend(e.layers().map(|l| (Stage::Extra(i), l)));
        }
        for (i, h) in self.heads.iter().enumerate() {
            all.extend(h.box_depthwise.iter().chain([&h.box_predictor]).map(|l| (Stage::BoxHead(i), l)));
            all.extend(h.class_depthwise.iter().chain([&h.class_predictor]).map(|l| (Stage::ClassHead(i), l)));
        }
        all
    }

    /// Every convolution with its stage, mutable, in walk order.
    pub fn convs_mut(&mut self) -> Vec<(Stage, &mut L)> {
        let mut all = vec![(Stage::Stem, &mut self.stem)];
        for (i, b) in self.blocks.iter_mut().enumerate() {
            let layers = b.expand.iter_mut().chain([&mut b.depthwise, &mut b.project]);
            all.extend(layers.map(|l| (Stage::Block(i), l)));
        }
        all.push((Stage::Last, &mut self.last));
        for (i, e) in self.extras.iter_mut().enumerate() {
            all.extend(e.layers_mut().map(|l| (Stage::Extra(i), l)));
        }
        for (i, h) in self.heads.iter_mut().enumerate() {
            all.extend(h.box_depthwise.iter_mut().chain([&mut h.box_predictor]).map(|l| (Stage::BoxHead(i), l)));
            all.extend(h.class_depthwise.iter_mut().chain([&mut h.class_predictor]).map(|l| (Stage::ClassHead(i), l)));
        }
        all
    }

    /// The layers whose stage is part of the backbone come first in walk order; this is how many there are.
    pub fn backbone_len(&self) -> usize {
        self.convs().iter().filter(|(stage, _)| stage.is_backbone()).count()
    }
}
