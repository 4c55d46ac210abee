//! State dicts, PyTorch's files of named tensors without a network: the tensors from a `.pth` or `.safetensors` file, and
//! the graph that goes with the names of a known network.

mod archive;
mod classifier;
mod layout;
mod machine;
mod mb2_ssd_lite;
mod opcode;
mod safe;
mod state_dict;
mod writer;

pub use archive::{is_legacy, is_zip};
pub use layout::graph;
pub use safe::is_safetensors;
