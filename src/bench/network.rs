//! The networks that speeds are measured of.

use crate::model::{ConvSpec, Ssd, ssd_mobilenet_v2, ssdlite_mobilenet_v2};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkArgument {
    /// Depthwise extras and predictors
    #[default]
    Ssdlite,
    /// Plain 3x3 extras, 1x1 predictors
    Ssd,
}

impl NetworkArgument {
    /// The network's shape at width 1; `columns` counts the background.
    pub fn specs(self, columns: usize) -> Ssd<ConvSpec> {
        match self {
            NetworkArgument::Ssdlite => ssdlite_mobilenet_v2(1.0, columns, false),
            NetworkArgument::Ssd => ssd_mobilenet_v2(1.0, columns),
        }
    }
}
