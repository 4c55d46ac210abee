//! One binary for all integration tests; each module is a story.

mod data;
mod pack;
mod photos;
