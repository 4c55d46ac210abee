//! The network: its shape, its numbers, and the burn modules that run it.

mod footprint;
mod forward;
mod init;
mod layer;
mod mobilenet_v2;
mod program;
mod ssd;
mod weights;

pub use footprint::Footprint;
pub use forward::{Observer, Predictions, SsdModel};
pub use init::{initialise, initialise_network};
pub use layer::{ConvLayer, Training};
pub use mobilenet_v2::{extras, head, ssdlite_mobilenet_v2};
pub use ssd::{Block, Extra, Head, Ssd, Stage};
pub use weights::{Activation, ConvKind, ConvSpec, ConvWeights, Padding};
