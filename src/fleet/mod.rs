//! Boards that learn together without sending photos: what travels, and what a node does with it.

pub mod array;
pub mod participant;
