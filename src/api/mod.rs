//! The library's face: a [`Detector`] that runs and a [`Training`] that makes one. Everything else of the crate may change
//! with any version.

#![deny(missing_docs)]

mod detector;
mod error;
mod training;

pub use detector::{Detector, Found, PixelBox};
pub use error::{Error, Result};
pub use training::{Progress, Trained, Training};
