//! The tensor names of TensorFlow's object detection API, which other tools look for.

use crate::interchange::table::Role;
use crate::model::{ConvSpec, Stage};

const BACKBONE: &str = "FeatureExtractor/MobilenetV2";

/// Layers of MobileNetV2 as the detection API counts them (stem, 17 blocks, last): the extras follow as `layer_19`.
const EXTRA_LAYER: usize = 19;

/// The scope of block `i`, and the name of its sum.
pub fn block(i: usize) -> String {
    match i {
        0 => format!("{BACKBONE}/expanded_conv"),
        i => format!("{BACKBONE}/expanded_conv_{i}"),
    }
}

/// The scope of one convolution; `extra_width` is the output width of the extra it stands in.
pub fn conv(stage: Stage, role: Role, spec: &ConvSpec, extra_width: usize) -> String {
    match (stage, role) {
        (Stage::Stem, _) => format!("{BACKBONE}/Conv"),
        (Stage::Block(i), role) => format!("{}/{role}", block(i)),
        (Stage::Last, _) => format!("{BACKBONE}/Conv_1"),
        (Stage::Extra(i), Role::Reduce) => {
            format!("{BACKBONE}/layer_{EXTRA_LAYER}_1_Conv2d_{}_1x1_{}", i + 2, spec.out_channels)
        }
        (Stage::Extra(i), role) => {
            let suffix = if role == Role::Depthwise { "_depthwise" } else { "" };
            format!("{BACKBONE}/layer_{EXTRA_LAYER}_2_Conv2d_{}_3x3_s2_{extra_width}{suffix}", i + 2)
        }
        (Stage::BoxHead(i), Role::Depthwise) => format!("BoxPredictor_{i}/BoxEncodingPredictor_depthwise"),
        (Stage::BoxHead(i), _) => format!("BoxPredictor_{i}/BoxEncodingPredictor"),
        (Stage::ClassHead(i), Role::Depthwise) => format!("BoxPredictor_{i}/ClassPredictor_depthwise"),
        (Stage::ClassHead(i), _) => format!("BoxPredictor_{i}/ClassPredictor"),
    }
}
