//! Runs the operations of a pickle that holds tensors, and nothing else.
//!
//! A pickle is a program for a stack machine that may call any function by name. This machine knows five names, those
//! that PyTorch's writer puts around float storages, and none of them is a function here: each is a case below. Another
//! name, or another use of a known one, is an error.

use std::collections::HashMap;
use std::rc::Rc;

use super::opcode::{Opcode, Trouble, next};

/// Number types of storages that hold weights; counters of batches are integers and are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageNumber {
    F32,
    F64,
    F16,
    Bf16,
    Integer,
}

/// A run of numbers in a file of its own.
#[derive(Debug, PartialEq)]
pub struct Storage {
    pub number: StorageNumber,
    pub key: String,
    pub len: usize,
}

/// A tensor as a view into a storage.
#[derive(Debug, PartialEq)]
pub struct StorageView {
    pub storage: Rc<Storage>,
    pub offset: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(StorageNumber),
}

#[derive(Clone, Debug)]
enum PickleValue {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    Tuple(Rc<[PickleValue]>),
    /// Lists and dicts can be added to after they are known by a number, so they stand in tables of their own.
    List(usize),
    Dict(usize),
    Name(Name),
    Storage(Rc<Storage>),
    Tensor(Rc<StorageView>),
}

/// Tuples inside tuples; a tensor's are two deep.
const DEEPEST: usize = 16;

/// Dicts inside a checkpoint that may be the network, under the names that training scripts give it.
const NETWORKS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema"];

#[derive(Default)]
struct PickleMachine {
    stack: Vec<PickleValue>,
    marks: Vec<usize>,
    memo: HashMap<usize, PickleValue>,
    lists: Vec<Vec<PickleValue>>,
    dicts: Vec<Vec<(PickleValue, PickleValue)>>,
}

/// The tensors of the state dict in a pickle, in its order.
///
/// # Errors
/// A sentence fragment: what was found.
pub fn tensors(mut bytes: &[u8]) -> Result<Vec<(String, Rc<StorageView>)>, String> {
    let mut machine = PickleMachine::default();
    loop {
        let opcode = next(&mut bytes).map_err(|trouble| match trouble {
            Trouble::Ends => "a pickle that ends early".to_string(),
            Trouble::Unknown(code) => format!("a pickle with operation {code:#04x}, which no state dict needs"),
            Trouble::Malformed => "a pickle with bytes that are neither text nor number".to_string(),
        })?;
        if opcode == Opcode::Stop {
            break;
        }
        machine.step(opcode)?;
    }
    let root = machine.pop()?;
    machine.network(&root).ok_or_else(|| "a pickle without a dict of tensors".into())
}

impl PickleMachine {
    fn step(&mut self, opcode: Opcode) -> Result<(), String> {
        let value = match opcode {
            Opcode::Frame | Opcode::Stop => return Ok(()),
            Opcode::Mark => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            Opcode::None => PickleValue::None,
            Opcode::Bool(_) => PickleValue::Bool,
            Opcode::Int(n) => PickleValue::Int(n),
            Opcode::Float(_) => PickleValue::Float,
            Opcode::Text(text) => PickleValue::Text(text.into()),
            Opcode::EmptyDict => self.new_dict(),
            Opcode::EmptyList => {
                self.lists.push(Vec::new());
                PickleValue::List(self.lists.len() - 1)
            }
            Opcode::EmptyTuple => PickleValue::Tuple(Rc::new([])),
            Opcode::Tuple(n) => {
                let at = self.stack.len().checked_sub(n).filter(|&at| at >= self.floor()).ok_or_else(underflow)?;
                tuple(self.stack.split_off(at))?
            }
            Opcode::TupleOfMarked => tuple(self.marked()?)?,
            Opcode::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set(vec![key, value]);
            }
            Opcode::SetItems => {
                let items = self.marked()?;
                return self.set(items);
            }
            Opcode::Append => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            Opcode::Appends => {
                let items = self.marked()?;
                return self.append(items);
            }
            Opcode::Global(module, name) => global(module, name)?,
            Opcode::StackGlobal => match (self.pop()?, self.pop()?) {
                (PickleValue::Text(name), PickleValue::Text(module)) => global(&module, &name)?,
                _ => return Err("a pickle with a name that is no text".into()),
            },
            Opcode::PersistentId => storage(&self.pop()?)?,
            Opcode::Reduce => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(&function, &arguments)?
            }
            // Version numbers of modules and the like: nothing that a network is made of.
            Opcode::Build => {
                self.pop()?;
                return match self.stack.last() {
                    Some(PickleValue::Dict(_)) => Ok(()),
                    _ => Err("a pickle that sets attributes of an object".into()),
                };
            }
            Opcode::Memoize(at) => {
                let top = self.stack.last().cloned().ok_or_else(underflow)?;
                self.memo.insert(at.unwrap_or(self.memo.len()), top);
                return Ok(());
            }
            Opcode::Recall(at) => {
                self.memo.get(&at).cloned().ok_or_else(|| "a pickle that recalls what it never kept".to_string())?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<PickleValue, String> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn marked(&mut self) -> Result<Vec<PickleValue>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn new_dict(&mut self) -> PickleValue {
        self.dicts.push(Vec::new());
        PickleValue::Dict(self.dicts.len() - 1)
    }

    fn set(&mut self, items: Vec<PickleValue>) -> Result<(), String> {
        let Some(PickleValue::Dict(at)) = self.stack.last() else {
            return Err("a pickle that fills what is no dict".into());
        };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            self.dicts[*at].push((key, value));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<PickleValue>) -> Result<(), String> {
        let Some(PickleValue::List(at)) = self.stack.last() else {
            return Err("a pickle that extends what is no list".into());
        };
        self.lists[*at].extend(items);
        Ok(())
    }

    /// The five things that PyTorch's writer calls.
    fn call(&mut self, function: &PickleValue, arguments: &PickleValue) -> Result<PickleValue, String> {
        let (PickleValue::Name(name), PickleValue::Tuple(arguments)) = (function, arguments) else {
            return Err("a pickle that calls what is no function".into());
        };
        match (name, &arguments[..]) {
            (Name::OrderedDict, []) => Ok(self.new_dict()),
            // (storage, offset, dimensions, strides, requires_grad, hooks)
            (Name::RebuildTensor, [PickleValue::Storage(storage), PickleValue::Int(offset), dims, strides, ..]) => {
                let (offset, dims, strides) = (usize::try_from(*offset).ok(), sizes(dims), sizes(strides));
                let (Some(offset), Some(dims), Some(strides)) = (offset, dims, strides) else {
                    return Err("a tensor of impossible size".into());
                };
                Ok(PickleValue::Tensor(Rc::new(StorageView { storage: storage.clone(), offset, dims, strides })))
            }
            (Name::RebuildParameter, [tensor @ PickleValue::Tensor(_), ..]) => Ok(tensor.clone()),
            _ => Err(format!("a pickle that calls {name:?} in another way than PyTorch does")),
        }
    }

    /// The tensors of a dict, or of the network in it.
    fn network(&self, root: &PickleValue) -> Option<Vec<(String, Rc<StorageView>)>> {
        let PickleValue::Dict(at) = root else { return None };
        let items = self.dicts.get(*at)?;
        let tensor = |(key, value): &(PickleValue, PickleValue)| match (key, value) {
            (PickleValue::Text(key), PickleValue::Tensor(view)) => Some((key.to_string(), view.clone())),
            _ => None,
        };
        let own: Vec<_> = items.iter().filter_map(tensor).collect();
        if !own.is_empty() {
            return Some(own);
        }
        let named = |wanted: &&str| {
            let (_, value) =
                items.iter().find(|(key, _)| matches!(key, PickleValue::Text(key) if **key == **wanted))?;
            let PickleValue::Dict(at) = value else { return None };
            let found: Vec<_> = self.dicts.get(*at)?.iter().filter_map(tensor).collect();
            (!found.is_empty()).then_some(found)
        };
        NETWORKS.iter().find_map(named)
    }
}

fn underflow() -> String {
    "a pickle that takes more than it has".into()
}

fn tuple(values: Vec<PickleValue>) -> Result<PickleValue, String> {
    fn depth(value: &PickleValue) -> usize {
        match value {
            PickleValue::Tuple(inner) => 1 + inner.iter().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    // Each tuple was checked when it was made, so the walk is as shallow as the bound.
    if values.iter().map(depth).max().unwrap_or(0) >= DEEPEST {
        return Err("a pickle of tuples inside tuples inside tuples".into());
    }
    Ok(PickleValue::Tuple(values.into()))
}

fn global(module: &str, name: &str) -> Result<PickleValue, String> {
    Ok(PickleValue::Name(match (module, name) {
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Name::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Name::RebuildParameter,
        ("torch", "FloatStorage") => Name::Storage(StorageNumber::F32),
        ("torch", "DoubleStorage") => Name::Storage(StorageNumber::F64),
        ("torch", "HalfStorage") => Name::Storage(StorageNumber::F16),
        ("torch", "BFloat16Storage") => Name::Storage(StorageNumber::Bf16),
        ("torch", "LongStorage" | "IntStorage" | "ShortStorage" | "CharStorage" | "ByteStorage" | "BoolStorage") => {
            Name::Storage(StorageNumber::Integer)
        }
        _ => {
            let (module, name) = (printable(module), printable(name));
            return Err(format!("a pickle that holds {module}.{name}, not a state dict alone"));
        }
    }))
}

/// Names from outside, short and without control characters.
fn printable(name: &str) -> String {
    name.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `("storage", type, key, device, number of elements)`.
fn storage(identification: &PickleValue) -> Result<PickleValue, String> {
    let PickleValue::Tuple(parts) = identification else { return Err("a pickle with a storage that is none".into()) };
    match &parts[..] {
        [
            PickleValue::Text(kind),
            PickleValue::Name(Name::Storage(number)),
            PickleValue::Text(key),
            _,
            PickleValue::Int(len),
        ] if &**kind == "storage" => {
            let len = usize::try_from(*len).map_err(|_| "a storage of impossible size".to_string())?;
            Ok(PickleValue::Storage(Rc::new(Storage { number: *number, key: key.to_string(), len })))
        }
        _ => Err("a pickle with a storage that is none".into()),
    }
}

/// A tuple of a few sizes.
fn sizes(value: &PickleValue) -> Option<Vec<usize>> {
    let PickleValue::Tuple(parts) = value else { return None };
    let size = |part: &PickleValue| match part {
        PickleValue::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    (parts.len() <= 8).then(|| parts.iter().map(size).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        tensors(bytes).unwrap_err()
    }

    #[test]
    fn nothing_but_tensors_is_ever_made() {
        let run = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echo\x85R.";
        assert_eq!(refused(run), "a pickle that holds posix.system, not a state dict alone");
        assert_eq!(
            refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."),
            "a pickle that holds builtins.eval, not a state dict alone"
        );
        assert!(refused(b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.").contains("in another way"));
        assert!(refused(b"\x80\x02K\x01K\x02R.").contains("no function"));
        assert!(refused(b"\x80\x02}K\x01b.").contains("without a dict of tensors"));
        assert!(refused(b"\x80\x02K\x01}b.").contains("attributes"));
    }

    #[test]
    fn what_a_stack_does_not_have_is_not_taken() {
        for bytes in
            [&b"R."[..], b"\x87.", b"t.", b"u.", b"s.", b"(K\x01\x86.", b"h\x09.", b"q\x00.", b"Q.", b"(.", b"."]
        {
            assert!(!refused(bytes).is_empty());
        }
        let nested = [&b")"[..], &[0x85; 40], b"."].concat();
        assert!(refused(&nested).contains("inside tuples"));
    }
}
