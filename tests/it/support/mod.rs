//! Tools that several stories need: generated photos, the program as a process, reference data, the sources as text.

pub mod flower;
pub mod layouts;
pub mod photos;
pub mod runs;
pub mod shared;
pub mod sources;
pub mod superlink;
pub mod web;
