//! Finding the extras: feature maps beyond the backbone, each two or three convolutions behind the map before.

use super::layers::{Conv, LayerId, Layers};
use crate::model::Extra;

/// The extras behind `last`, in order. Each is a 1x1 with ReLU6, then a depthwise and a 1x1 (SSDLite; that 1x1 may be
/// linear where the network goes on behind it) or one dense kernel (SSD).
pub fn find(layers: &Layers, last: LayerId) -> Vec<Extra<LayerId>> {
    let mut extras: Vec<Extra<LayerId>> = Vec::new();
    let mut map = last;
    while let Some(extra) = next(layers, map) {
        map = *extra.output();
        extras.push(extra);
    }
    extras
}

fn next(layers: &Layers, map: LayerId) -> Option<Extra<LayerId>> {
    layers.convs(map, |c| c.is_pointwise() && c.is_relu6()).find_map(|reduce| {
        let goes_on = |&id: &LayerId| layers.conv(id).is_some_and(Conv::is_relu6) || layers.feeds_network(id);
        let separable = layers.convs(reduce, |c| c.is_depthwise() && c.is_relu6()).find_map(|spatial| {
            let ends = |c: &Conv| c.is_pointwise() && (c.is_relu6() || c.is_linear());
            let expand = layers.convs(spatial, ends).find(goes_on)?;
            Some(Extra { reduce, spatial, expand: Some(expand) })
        });
        separable.or_else(|| {
            let spatial = layers.convs(reduce, |c| c.is_dense() && (c.is_relu6() || c.is_linear())).find(goes_on)?;
            Some(Extra { reduce, spatial, expand: None })
        })
    })
}
