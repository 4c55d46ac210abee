//! One binary, one story per module.

mod blocks;
mod boxes_golden;
mod cli;
mod data;
mod demo;
mod eval_golden;
mod gradients;
mod heat;
mod kernels;
mod layering;
mod network_golden;
mod onnx;
mod onnx_bad_input;
mod onnx_variants;
mod optimizers;
mod pack;
mod photos;
mod pipeline;
mod runs;
mod scenes;
mod service;
mod shared;
mod stagnation;
mod storage;
mod watchdog;
mod windows;
