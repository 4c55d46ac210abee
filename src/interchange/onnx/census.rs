//! The amount of structure in an ONNX file, counted before anything is made of it.
//!
//! A message of two bytes becomes a struct of some hundred in memory. Weights do not grow so, and a graph of this family
//! has a few hundred kilobytes beside them; a file with far more is made to fill memory.

/// Field numbers in ONNX's schema: the ways to tensors, and what holds a tensor's numbers.
const GRAPH: u64 = 7;
const NODE: u64 = 1;
const INITIALIZER: u64 = 5;
const ATTRIBUTE: u64 = 5;
const TENSOR: u64 = 5;
const NUMBERS: [u64; 3] = [4, 9, 10];

/// A message type on the way.
#[derive(Clone, Copy)]
enum MessageType {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// Bytes of a model that are not numbers of its tensors. Bytes that are no message count whole: decoding will say so.
pub fn structure(bytes: &[u8]) -> usize {
    beside_numbers(bytes, MessageType::Model)
}

fn beside_numbers(mut bytes: &[u8], message: MessageType) -> usize {
    let mut all = bytes.len();
    while let Some((field, content)) = next(&mut bytes) {
        let inner = match (message, field) {
            (MessageType::Model, GRAPH) => MessageType::Graph,
            (MessageType::Graph, NODE) => MessageType::Node,
            (MessageType::Graph, INITIALIZER) => MessageType::Tensor,
            (MessageType::Node, ATTRIBUTE) => MessageType::Attribute,
            (MessageType::Attribute, TENSOR) => MessageType::Tensor,
            (MessageType::Tensor, field) if NUMBERS.contains(&field) => {
                all -= content.len();
                continue;
            }
            _ => continue,
        };
        all -= content.len() - beside_numbers(content, inner);
    }
    all
}

/// The next field and its content, empty for one that has no length; `None` at the end or where there is no field.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(bytes)?;
    let length = match key & 7 {
        0 => {
            varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((key >> 3, if key & 7 == 2 { content } else { &[] }))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * i).min(63);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

    #[test]
    fn numbers_do_not_count_wherever_they_stand() {
        let model = |numbers: usize, nodes: usize| {
            let tensor = TensorProto { name: "w".into(), raw_data: vec![1; numbers], ..Default::default() };
            let value = AttributeProto { name: "value".into(), t: Some(tensor.clone()), ..Default::default() };
            let constant = NodeProto { op_type: "Constant".into(), attribute: vec![value], ..Default::default() };
            let typed = TensorProto { float_data: vec![0.5; numbers], ..Default::default() };
            let node = [vec![constant], vec![NodeProto::default(); nodes]].concat();
            let graph = GraphProto { node, initializer: vec![tensor, typed], ..Default::default() };
            ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec()
        };
        assert!(structure(&model(100_000, 0)) < 200);
        assert!(structure(&model(10, 50_000)) > 100_000);
        let damaged = &model(1000, 3)[..1500];
        assert!(structure(damaged) <= damaged.len());
    }
}
