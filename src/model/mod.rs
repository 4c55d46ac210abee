//! The network: its shape, its weights, and the burn modules that run it.

mod class_columns;
mod convention;
mod footprint;
mod forward;
mod init;
mod layer;
mod mobilenet_v2;
mod network_anchors;
mod program;
mod soundness;
mod ssd;
mod weights;
mod wiring;

pub use convention::Convention;
pub use footprint::Footprint;
pub use forward::{LayerObserver, Predictions, SsdModel};
pub use init::{initialise, initialise_network};
pub use layer::{ConvLayer, LayerTraining, Origin};
pub use mobilenet_v2::{extras, head, ssd_mobilenet_v2, ssdlite_mobilenet_v2};
pub use ssd::{Block, Extra, Head, Ssd, Stage};
pub use weights::{Activation, ConvKind, ConvSpec, ConvWeights, Padding};
pub use wiring::{LayerStep, LayerWalk};
