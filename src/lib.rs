//! Fieldtune fine-tunes the SSD-MobileNet-V2 object detector on the board where it will run.
//!
//! Dimension letters used throughout: **N** batch, **H W** space, **C** channels, **A** anchors,
//! **K** classes counting the background as column 0, **G** objects of one image.
//! A gradient takes a `d`: `x, w, y` become `dx, dw, dy`. Tensors are NHWC, `f32`.
//! Boxes are x before y, in `[0, 1]` of the image, as `f64`.

pub mod board;
pub mod boxes;
pub mod cli;
pub mod config;
pub mod data;
pub mod eval;
pub mod kernel;
pub mod loss;
pub mod model;
pub mod onnx;
pub mod ops;
pub mod optim;
pub mod report;
pub mod train;
pub mod watchdog;
