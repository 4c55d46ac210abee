//! The burn backend that runs the network, named in this folder only, so that moving to another is a small change.

use burn::tensor::Device;

/// The device of all tensors. They are not differentiated until they meet something that learns: burn registers a graph
/// for every operation on a tensor that might be, wanted or not, and drops it in a backward pass only.
#[allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex; see ARCHITECTURE.md
pub fn device() -> Device {
    Device::ndarray()
}
