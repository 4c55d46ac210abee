//! Everything before the first step: the network to start with, the LR range test, the pace, the memory plan.

pub(super) mod calibration;
pub(super) mod lr_range_test;
pub(super) mod memory_plan;
pub(super) mod pace;
pub(super) mod start;
pub(super) mod wanted_classes;
