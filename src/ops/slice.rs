//! Reading and writing a tensor's memory without copying it.

#![allow(deprecated)] // burn-ndarray is deprecated upstream in favour of burn-flex; see ARCHITECTURE.md

use burn::backend::ndarray::{NdArray, NdArrayTensor};
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Tensor, TensorData};

/// The tensor's values, where they lie in order.
pub(super) fn values(tensor: &NdArrayTensor) -> Option<&[f32]> {
    let NdArrayTensor::F32(storage) = tensor else { panic!("the network computes in f32") };
    storage.view().to_slice()
}

/// Runs `f` on the tensor's values; copies only where the tensor is a permuted or strided view.
pub(super) fn with<R>(tensor: &NdArrayTensor, f: impl FnOnce(&[f32]) -> R) -> R {
    let NdArrayTensor::F32(storage) = tensor else { panic!("the network computes in f32") };
    let view = storage.view();
    match view.as_slice() {
        Some(values) => f(values),
        None => f(view.as_standard_layout().as_slice().expect("standard layout is contiguous")),
    }
}

/// Wraps values as a tensor primitive without copying them.
pub(super) fn wrap(values: Vec<f32>, shape: &[usize]) -> NdArrayTensor {
    <NdArray as FloatTensorOps<NdArray>>::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
}

/// Runs `f` on the tensor's values mutably and returns the tensor: in place where this is its only owner, on a copy
/// otherwise.
pub(super) fn modify(tensor: NdArrayTensor, f: impl FnOnce(&mut [f32])) -> NdArrayTensor {
    let NdArrayTensor::F32(storage) = tensor else { panic!("the network computes in f32") };
    let mut array = storage.into_shared();
    if !array.is_standard_layout() {
        array = array.as_standard_layout().into_owned().into_shared();
    }
    f(array.as_slice_mut().expect("standard layout is contiguous"));
    NdArrayTensor::from(array)
}

/// The backend's own tensor under a tensor that may or may not be tracked.
pub(super) fn primitive<const D: usize>(tensor: Tensor<D>) -> NdArrayTensor {
    let plain = if tensor.is_autodiff() { tensor.inner() } else { tensor };
    plain.try_into_primitive::<NdArray>().expect("the network runs on one backend")
}

/// Wraps values as a tensor, without copying them.
///
/// # Panics
/// If the number of values disagrees with the shape.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &super::device())
}

/// Runs `f` on a tensor's values, without copying them.
pub fn read<const D: usize, R>(tensor: &Tensor<D>, f: impl FnOnce(&[f32]) -> R) -> R {
    with(&primitive(tensor.clone()), f)
}

/// Runs `f` on a tensor's values mutably and returns the tensor, untracked: in place where this is the only owner.
pub fn update<const D: usize>(tensor: Tensor<D>, f: impl FnOnce(&mut [f32])) -> Tensor<D> {
    Tensor::from_primitive::<NdArray>(modify(primitive(tensor), f))
}
