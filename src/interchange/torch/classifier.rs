//! MobileNetV2 classifiers by the names of torchvision and timm: their backbone as a graph.

use super::writer::{BlockNames, Normed, PickleWriter, STRIDES};
use crate::interchange::InterchangeError;

/// Strides of the first block in each of timm's stages; the others have 1.
const STAGE_STRIDES: [i64; 7] = [1, 2, 2, 2, 1, 2, 1];

/// torchvision's `mobilenet_v2`: stem, blocks and last layer are `features.0` to `features.18`.
pub fn torchvision(writer: &mut PickleWriter, image: &str) -> Result<String, InterchangeError> {
    let stem = Normed { conv: "features.0.0", norm: "features.0.1", stride: 2, relu6: true };
    let (mut at, mut channels) = writer.normed(image, stem)?;
    for (i, stride) in STRIDES.into_iter().enumerate() {
        let names = writer.torchvision_names(&format!("features.{}", i + 1));
        (at, channels, _) = writer.block(&at, channels, &names, stride)?;
    }
    let last = Normed { conv: "features.18.0", norm: "features.18.1", stride: 1, relu6: true };
    Ok(writer.normed(&at, last)?.0)
}

/// timm's `mobilenetv2_*`: blocks in stages, the first of them without an expansion.
pub fn timm(writer: &mut PickleWriter, image: &str) -> Result<String, InterchangeError> {
    let stem = Normed { conv: "conv_stem", norm: "bn1", stride: 2, relu6: true };
    let (mut at, mut channels) = writer.normed(image, stem)?;
    for (stage, first_stride) in STAGE_STRIDES.into_iter().enumerate() {
        for i in 0.. {
            let prefix = format!("blocks.{stage}.{i}");
            if i > 0 && !writer.dict.has(&format!("{prefix}.conv_dw.weight")) {
                break;
            }
            let pair = |conv: &str, norm: &str| [format!("{prefix}.{conv}"), format!("{prefix}.{norm}")];
            let names = if writer.dict.has(&format!("{prefix}.conv_pwl.weight")) {
                BlockNames {
                    expand: Some(pair("conv_pw", "bn1")),
                    depthwise: pair("conv_dw", "bn2"),
                    project: pair("conv_pwl", "bn3"),
                }
            } else {
                BlockNames { expand: None, depthwise: pair("conv_dw", "bn1"), project: pair("conv_pw", "bn2") }
            };
            let stride = if i == 0 { first_stride } else { 1 };
            (at, channels, _) = writer.block(&at, channels, &names, stride)?;
        }
    }
    let last = Normed { conv: "conv_head", norm: "bn2", stride: 1, relu6: true };
    Ok(writer.normed(&at, last)?.0)
}
