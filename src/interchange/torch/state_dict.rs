//! Named tensors, whatever file they come from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::interchange::InterchangeError;
use crate::interchange::graph::array::ConstantArray;

/// More numbers than a network of this family has; keeps a hostile file from filling memory.
pub const MOST_NUMBERS: usize = 1 << 26;

/// The tensors by name. Numbers that are no floats (counters of batches) are left out.
#[derive(Debug, Default)]
pub struct StateDict {
    pub tensors: BTreeMap<String, ConstantArray>,
}

/// The prefix that wrappers put before every name.
const PREFIXES: [&str; 6] = ["module.", "model.", "_orig_mod.", "backbone.", "net.", "encoder."];

impl StateDict {
    /// The same tensors without a prefix that all names have.
    pub fn without_prefix(mut self) -> Self {
        while let Some(prefix) = PREFIXES.iter().find(|p| !self.tensors.is_empty() && self.all_begin_with(p)) {
            let tensors = std::mem::take(&mut self.tensors).into_iter();
            self.tensors = tensors.map(|(name, array)| (name[prefix.len()..].to_owned(), array)).collect();
        }
        self
    }

    fn all_begin_with(&self, prefix: &str) -> bool {
        self.tensors.keys().all(|name| name.starts_with(prefix))
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Takes a tensor out.
    ///
    /// # Errors
    /// If it is not there.
    pub fn take(&mut self, path: &Path, name: &str) -> Result<ConstantArray, InterchangeError> {
        let missing = || {
            let help = "the file is not the whole network; save its whole state_dict()";
            InterchangeError::tensor(path, name, "nothing", "a tensor of that name", help)
        };
        self.tensors.remove(name).ok_or_else(missing)
    }
}
