//! Boards that learn together without sending photos: what travels, and what a node does with it.

pub mod array;
pub mod average;
mod chance;
pub mod node;
pub mod participant;
pub mod privacy;
pub mod simulate;
pub mod update;
