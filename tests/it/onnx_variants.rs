//! Rewrites a plain export into the forms that other exporters give the same network.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};

pub fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

pub fn values(tensor: &TensorProto) -> Vec<f32> {
    tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub fn floats(name: &str, dims: &[usize], data: &[f32]) -> TensorProto {
    raw(name, dims, DataType::Float, data.iter().flat_map(|v| v.to_le_bytes()).collect())
}

pub fn raw(name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|&d| d as i64).collect();
    TensorProto { name: name.into(), dims, data_type: kind as i32, raw_data, ..Default::default() }
}

pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: ints.into(), ..Default::default() }
}

fn attribute_of(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 1, f, ..Default::default() }
}

pub fn attribute<'a>(node: &'a mut NodeProto, name: &str) -> &'a mut Vec<i64> {
    &mut node.attribute.iter_mut().find(|a| a.name == name).unwrap().ints
}

fn initializer<'a>(graph: &'a mut GraphProto, name: &str) -> &'a mut TensorProto {
    graph.initializer.iter_mut().find(|t| t.name == name).unwrap()
}

/// Replaces each node for which `rewrite` gives something else.
fn rewrite_nodes(graph: &mut GraphProto, mut rewrite: impl FnMut(&mut GraphProto, NodeProto) -> Vec<NodeProto>) {
    for node in std::mem::take(&mut graph.node) {
        let nodes = rewrite(graph, node);
        graph.node.extend(nodes);
    }
}

fn rewrite_op(model: &mut ModelProto, op: &str, mut f: impl FnMut(&mut GraphProto, NodeProto) -> Vec<NodeProto>) {
    rewrite_nodes(graph(model), |graph, node| if node.op_type == op { f(graph, node) } else { vec![node] });
}

/// Every name replaced by one that says nothing, initializers in reverse order.
pub fn scramble_names(model: &mut ModelProto) {
    let graph = graph(model);
    let mut known: HashMap<String, String> = HashMap::new();
    let mut rename = |name: &mut String| {
        if !name.is_empty() {
            let n = known.len();
            *name = known.entry(name.clone()).or_insert_with(|| format!("v{:04x}", n * 40503 % 65536)).clone();
        }
    };
    graph.initializer.iter_mut().for_each(|t| rename(&mut t.name));
    graph.input.iter_mut().chain(&mut graph.output).for_each(|v| rename(&mut v.name));
    for node in &mut graph.node {
        node.name.clear();
        node.input.iter_mut().chain(&mut node.output).for_each(&mut rename);
    }
    graph.initializer.reverse();
    model.metadata_props.clear();
}

/// Batch norm after a convolution without bias, so that both together compute what the convolution did.
pub fn unfold_batch_norm(model: &mut ModelProto) {
    rewrite_op(model, "Conv", |graph, mut conv| {
        let bias = conv.input.remove(2);
        let (end, inside) = (conv.output[0].clone(), format!("{}/unfolded", conv.output[0]));
        conv.output[0] = inside.clone();
        let beta = values(initializer(graph, &bias));
        let channels = beta.len();
        let number = |i: usize, salt: usize| ((i * 7 + salt * 13) % 11) as f32 / 11.0;
        let gamma: Vec<f32> = (0..channels).map(|i| 0.5 + number(i, 1)).collect();
        let mean: Vec<f32> = (0..channels).map(|i| number(i, 2) - 0.5).collect();
        let variance: Vec<f32> = (0..channels).map(|i| 0.2 + number(i, 3)).collect();
        let factor = |c: usize| f64::from(gamma[c]) / (f64::from(variance[c]) + 0.001).sqrt();
        let weight = initializer(graph, &conv.input[1]);
        let mut w = values(weight);
        let per_channel = w.len() / channels;
        w.iter_mut().enumerate().for_each(|(i, v)| *v = (f64::from(*v) / factor(i / per_channel)) as f32);
        weight.raw_data = w.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shifted: Vec<f32> =
            (0..channels).map(|c| (f64::from(beta[c]) + f64::from(mean[c]) * factor(c)) as f32).collect();
        let names = ["gamma", "beta", "mean", "var"].map(|part| format!("{end}/{part}"));
        for (name, data) in names.iter().zip([&gamma, &shifted, &mean, &variance]) {
            graph.initializer.push(floats(name, &[channels], data));
        }
        let inputs: Vec<&str> = std::iter::once(inside.as_str()).chain(names.iter().map(String::as_str)).collect();
        let mut norm = node("BatchNormalization", &inputs, &end);
        norm.attribute.push(attribute_of("epsilon", 0.001));
        vec![conv, norm]
    });
}

/// The whole graph in NHWC as a naive TensorFlow export has it: transposes around every convolution, the bias added
/// outside, the input NHWC.
pub fn nhwc(model: &mut ModelProto) {
    let shape = graph(model).input[0].r#type.as_mut().unwrap();
    let Some(type_proto::Value::TensorType(tensor)) = &mut shape.value else { panic!("no tensor") };
    tensor.shape.as_mut().unwrap().dim.swap(1, 3);
    rewrite_nodes(graph(model), |graph, mut node| match node.op_type.as_str() {
        "Conv" => {
            let bias = node.input.remove(2);
            let end = node.output[0].clone();
            let names = ["nchw", "conv", "back"].map(|part| format!("{end}/{part}"));
            let [nchw, inside, back] = &names;
            let mut to = self::node("Transpose", &[&node.input[0]], nchw);
            to.attribute.push(ints("perm", &[0, 3, 1, 2]));
            node.input[0] = nchw.clone();
            node.output[0] = inside.clone();
            let mut from = self::node("Transpose", &[inside], back);
            from.attribute.push(ints("perm", &[0, 2, 3, 1]));
            let mut add = self::node("Add", &[back, &bias], &end);
            // Half of them the other way round and as [1, 1, 1, C].
            if graph.node.len() % 2 == 0 {
                add.input.swap(0, 1);
                let bias = initializer(graph, &bias);
                bias.dims = vec![1, 1, 1, bias.dims[0]];
            }
            vec![to, node, from, add]
        }
        // The heads' own transposes to NHWC are not needed any more.
        "Transpose" => {
            let (input, output) = (node.input[0].clone(), node.output[0].clone());
            vec![self::node("Identity", &[&input], &output)]
        }
        _ => vec![node],
    });
}

/// Weights as per-channel int8 behind DequantizeLinear; the values that come out of it go to `seen` by name.
pub fn quantize_weights(model: &mut ModelProto, seen: &mut HashMap<String, Vec<f32>>) {
    rewrite_op(model, "Conv", |graph, mut conv| {
        let name = conv.input[1].clone();
        let weight = initializer(graph, &name);
        let (dims, w) = (weight.dims.clone(), values(weight));
        let channels = dims[0] as usize;
        let per_channel = w.len() / channels;
        let scales: Vec<f32> = w
            .chunks_exact(per_channel)
            .map(|row| row.iter().fold(1e-6f32, |most, v| most.max(v.abs())) / 127.0)
            .collect();
        let q: Vec<i8> = w.iter().enumerate().map(|(i, v)| (v / scales[i / per_channel]).round() as i8).collect();
        let back = q.iter().enumerate().map(|(i, &q)| f32::from(q) * scales[i / per_channel]).collect();
        seen.insert(name.clone(), back);
        let stored: Vec<usize> = dims.iter().map(|&d| d as usize).collect();
        *weight = raw(&format!("{name}/q"), &stored, DataType::Int8, q.iter().map(|&v| v as u8).collect());
        graph.initializer.push(floats(&format!("{name}/scale"), &[channels], &scales));
        graph.initializer.push(raw(&format!("{name}/zero"), &[channels], DataType::Int8, vec![0; channels]));
        let inputs = ["q", "scale", "zero"].map(|part| format!("{name}/{part}"));
        let mut dequantize = node("DequantizeLinear", &inputs.each_ref().map(String::as_str), &name);
        dequantize.attribute.push(AttributeProto { name: "axis".into(), r#type: 2, i: 0, ..Default::default() });
        conv.name = format!("{name}/conv");
        vec![dequantize, conv]
    });
}

/// ReLU6 as opset 6 has it: bounds as attributes.
pub fn clip_attributes(model: &mut ModelProto) {
    model.opset_import[0].version = 10;
    rewrite_op(model, "Clip", |_, mut clip| {
        clip.input.truncate(1);
        clip.attribute = vec![attribute_of("min", 0.0), attribute_of("max", 6.0)];
        vec![clip]
    });
}

/// ReLU6 in the other ways of saying it, in turn: Relu then Min, Max then Min, Relu then Clip, bounds from Constants.
pub fn other_relu6(model: &mut ModelProto) {
    model.opset_import[0].version = 13;
    let bounds = [("zero", 0.0), ("six", 6.0)].map(|(name, value)| floats(name, &[], &[value]));
    graph(model).initializer.extend(bounds);
    let mut turn = 0;
    rewrite_op(model, "Clip", |_, clip| {
        turn += 1;
        let (input, output) = (clip.input[0].as_str(), clip.output[0].as_str());
        let middle = format!("{output}/half");
        let constant = |value: f32, name: &str| {
            let mut constant = node("Constant", &[], name);
            let t = Some(floats("", &[], &[value]));
            constant.attribute.push(AttributeProto { name: "value".into(), r#type: 4, t, ..Default::default() });
            constant
        };
        match turn % 4 {
            0 => vec![node("Relu", &[input], &middle), node("Min", &[&middle, "six"], output)],
            1 => vec![node("Max", &["zero", input], &middle), node("Min", &[&middle, "six"], output)],
            2 => vec![node("Relu", &[input], &middle), node("Clip", &[&middle, "", "six"], output)],
            _ => {
                let names = ["lo", "hi"].map(|bound| format!("{output}/{bound}"));
                let clip = node("Clip", &[input, &names[0], &names[1]], output);
                vec![constant(0.0, &names[0]), constant(6.0, &names[1]), clip]
            }
        }
    });
}

/// Activations quantised to bytes, whose range stands for ReLU6.
pub fn quantized_activations(model: &mut ModelProto) {
    graph(model).initializer.push(floats("act/scale", &[], &[6.0 / 255.0]));
    graph(model).initializer.push(raw("act/zero", &[], DataType::Uint8, vec![0]));
    rewrite_op(model, "Clip", |_, clip| {
        let (input, output) = (clip.input[0].as_str(), clip.output[0].as_str());
        let bytes = format!("{output}/bytes");
        let parameters = ["act/scale", "act/zero"];
        let both = |first| [&[first], &parameters[..]].concat();
        vec![node("QuantizeLinear", &both(input), &bytes), node("DequantizeLinear", &both(&bytes), output)]
    });
}

/// Padding outside the convolutions, as separate nodes.
pub fn separate_pads(model: &mut ModelProto) {
    rewrite_op(model, "Conv", |graph, mut conv| {
        let pads = std::mem::replace(attribute(&mut conv, "pads"), vec![0; 4]);
        if pads == [0; 4] {
            return vec![conv];
        }
        let (padded, amounts) = (format!("{}/padded", conv.output[0]), format!("{}/pads", conv.output[0]));
        let all = [0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]];
        graph.initializer.push(raw(
            &amounts,
            &[8],
            DataType::Int64,
            all.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ));
        let pad = node("Pad", &[&conv.input[0], &amounts], &padded);
        conv.input[0] = padded;
        vec![pad, conv]
    });
}

/// Padding left to the runtime.
pub fn automatic_pads(model: &mut ModelProto) {
    rewrite_op(model, "Conv", |_, mut conv| {
        conv.attribute.retain(|a| a.name != "pads" && a.name != "kernel_shape" && a.name != "dilations");
        let s = b"SAME_UPPER".to_vec();
        conv.attribute.push(AttributeProto { name: "auto_pad".into(), r#type: 3, s, ..Default::default() });
        vec![conv]
    });
}

/// Weights in half precision behind a Cast, and Identity and Dropout after every activation.
pub fn half_weights(model: &mut ModelProto, seen: &mut HashMap<String, Vec<f32>>) {
    use tract_onnx::prelude::f16;
    rewrite_op(model, "Conv", |graph, conv| {
        let name = conv.input[1].clone();
        let weight = initializer(graph, &name);
        let halves: Vec<f16> = values(weight).iter().map(|&v| f16::from_f32(v)).collect();
        seen.insert(name.clone(), halves.iter().map(|h| h.to_f32()).collect());
        let dims: Vec<usize> = weight.dims.iter().map(|&d| d as usize).collect();
        let half = format!("{name}/half");
        *weight = raw(&half, &dims, DataType::Float16, halves.iter().flat_map(|h| h.to_le_bytes()).collect());
        let mut cast = node("Cast", &[&half], &name);
        cast.attribute.push(AttributeProto { name: "to".into(), r#type: 2, i: 1, ..Default::default() });
        vec![cast, conv]
    });
    rewrite_op(model, "Clip", |_, mut clip| {
        let end = clip.output[0].clone();
        let names = ["raw", "same"].map(|part| format!("{end}/{part}"));
        clip.output[0] = names[0].clone();
        vec![clip, node("Identity", &[&names[0]], &names[1]), node("Dropout", &[&names[1]], &end)]
    });
}

/// Initializers as Constant nodes.
pub fn constant_nodes(model: &mut ModelProto) {
    let graph = graph(model);
    let constants = std::mem::take(&mut graph.initializer).into_iter().map(|t| {
        let mut constant = node("Constant", &[], &t.name);
        constant.attribute.push(AttributeProto { name: "value".into(), r#type: 4, t: Some(t), ..Default::default() });
        constant
    });
    let nodes = std::mem::take(&mut graph.node);
    graph.node = constants.chain(nodes).collect();
}

/// Depthwise kernels on maps of two or fewer cells cut to the taps that see the map, as some exporters do.
pub fn trim_kernels(model: &mut ModelProto, side_of: impl Fn(&str) -> Option<usize>) {
    rewrite_op(model, "Conv", |graph, mut conv| {
        let Some(side) = side_of(&conv.name).filter(|&s| s <= 2 && conv.name.ends_with("_depthwise")) else {
            return vec![conv];
        };
        // Our own files have one tap on a side of 1 already.
        if attribute(&mut conv, "kernel_shape")[..] == [1, 1] {
            return vec![conv];
        }
        let stride = attribute(&mut conv, "strides")[0];
        // At stride 1 a map of two cells needs all three taps.
        if side == 2 && stride == 1 {
            return vec![conv];
        }
        let before = attribute(&mut conv, "pads")[0] as usize;
        let weight = initializer(graph, &conv.input[1]);
        let kept: Vec<f32> = values(weight)
            .chunks_exact(9)
            .flat_map(|k| (0..side * side).map(|i| k[(i / side + before) * 3 + i % side + before]).collect::<Vec<_>>())
            .collect();
        *weight = floats(&conv.input[1], &[weight.dims[0] as usize, 1, side, side], &kept);
        *attribute(&mut conv, "pads") = vec![0; 4];
        *attribute(&mut conv, "kernel_shape") = vec![side as i64; 2];
        vec![conv]
    });
}

/// A classifier: what the backbone ends in, pooled, and a fully connected layer.
pub fn classifier(model: &mut ModelProto, last: &str) {
    let graph = graph(model);
    let end = graph.node.iter().position(|n| n.output[0] == last).unwrap();
    graph.node.truncate(end + 1);
    graph.node.push(node("GlobalAveragePool", &[last], "pooled"));
    graph.node.push(node("Flatten", &["pooled"], "flat"));
    graph.node.push(node("Gemm", &["flat", "fc/w", "fc/b"], "logits"));
    let channels = graph.initializer.iter().rev().find(|t| t.name.ends_with("Conv_1/biases")).unwrap().dims[0] as usize;
    graph.initializer.push(floats("fc/w", &[channels, 10], &vec![0.5; channels * 10]));
    graph.initializer.push(floats("fc/b", &[10], &[0.0; 10]));
    graph.output.truncate(1);
    graph.output[0].name = "logits".into();
    let used: HashSet<&String> = graph.node.iter().flat_map(|n| &n.input).collect();
    graph.initializer.retain(|t| used.contains(&t.name));
}

/// The image as bytes in NHWC, normalised inside the graph.
pub fn image_bytes(model: &mut ModelProto) {
    let graph = graph(model);
    let Some(type_proto::Value::TensorType(tensor)) = &mut graph.input[0].r#type.as_mut().unwrap().value else {
        panic!()
    };
    tensor.elem_type = DataType::Uint8 as i32;
    tensor.shape.as_mut().unwrap().dim.swap(1, 3);
    let input = std::mem::replace(&mut graph.input[0].name, "image_tensor".into());
    let mut cast = node("Cast", &["image_tensor"], "as_float");
    cast.attribute.push(AttributeProto { name: "to".into(), r#type: 2, i: 1, ..Default::default() });
    graph.initializer.push(floats("factor", &[], &[2.0 / 255.0]));
    graph.initializer.push(floats("one", &[1], &[1.0]));
    let mut planar = node("Transpose", &["centred"], &input);
    planar.attribute.push(ints("perm", &[0, 3, 1, 2]));
    let before =
        [cast, node("Mul", &["as_float", "factor"], "scaled"), node("Sub", &["scaled", "one"], "centred"), planar];
    graph.node.splice(0..0, before);
}

/// Leaves height and width of the input open.
pub fn open_size(model: &mut ModelProto) {
    let Some(type_proto::Value::TensorType(tensor)) = &mut graph(model).input[0].r#type.as_mut().unwrap().value else {
        panic!()
    };
    for (dim, name) in tensor.shape.as_mut().unwrap().dim[2..].iter_mut().zip(["H", "W"]) {
        *dim = Dimension { value: Some(dimension::Value::DimParam(name.into())), ..Default::default() };
    }
    model.metadata_props.clear();
}
