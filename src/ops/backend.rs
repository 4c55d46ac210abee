//! The burn backend that runs the network. It is named here and in the access to its memory ([`super::slice`]) only,
//! so that moving to another is a small change.

use burn::tensor::Device;

/// The device with automatic differentiation that trains.
#[allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex; see ARCHITECTURE.md
pub fn device() -> Device {
    Device::ndarray().autodiff()
}
