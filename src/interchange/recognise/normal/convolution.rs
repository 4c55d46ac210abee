//! Conv nodes into convolutions, each attribute and length checked.

use super::{LayerOutput, NCHW, Normal};
use crate::interchange::graph::node::GraphNode;
use crate::interchange::recognise::layers::{Conv, LayerKind, Pads};

impl Normal<'_> {
    pub fn conv(&mut self, node: &GraphNode) {
        let value = self.value(node, 0);
        let kind = match self.read_conv(node, value.as_ref()) {
            Ok(conv) => LayerKind::Conv(Box::new(conv)),
            Err(why) => LayerKind::Broken(why),
        };
        let inputs = value.into_iter().map(|v| v.layer).collect();
        let id = self.push(&node.name, kind, inputs);
        self.name(node.output(), id, Some(NCHW));
    }

    fn read_conv(&self, node: &GraphNode, value: Option<&LayerOutput>) -> Result<Conv, String> {
        let graph = self.graph;
        let name = node.input(1).ok_or("no weight")?;
        let weight = graph.constants.get(name).ok_or_else(|| format!("weight `{name}` that the file does not hold"))?;
        let array = weight.array.clone();
        let &[out, per_group, kh, kw] = array.dims.as_slice() else {
            return Err(format!("a weight of dimensions {:?}", array.dims));
        };
        let group = node.int("group").unwrap_or(1);
        let group = usize::try_from(group).ok().filter(|&g| g > 0 && out % g == 0);
        let group = group.ok_or_else(|| format!("a group that does not divide {out} channels"))?;
        if out == 0 || per_group == 0 || kh == 0 || kw == 0 || group > out {
            return Err(format!("a weight of dimensions {:?}", array.dims));
        }
        if node.ints("kernel_shape").is_some_and(|k| k != [kh as i64, kw as i64]) {
            return Err(format!("kernel_shape that is not that of its weight, {kh}x{kw}"));
        }
        if value.and_then(|v| v.axes).is_some_and(|axes| axes != NCHW) {
            return Err("an input that is not in NCHW order".into());
        }
        let mut tensors = weight.tensors.to_vec();
        let bias = match (node.input(2), graph.constant(node, 2)) {
            (None, _) => vec![0.0; out],
            (Some(name), None) => return Err(format!("bias `{name}` that the file does not hold")),
            (Some(name), Some(bias)) if bias.array.data.len() != out => {
                return Err(format!("bias `{name}` of {} values for {out} channels", bias.array.data.len()));
            }
            (Some(_), Some(bias)) => {
                tensors.extend(bias.tensors.iter().cloned());
                bias.array.data.iter().map(|&b| f64::from(b)).collect()
            }
        };
        let strides = pair(node.ints("strides")).ok_or("strides that are not two positive numbers")?;
        let dilated = node.ints("dilations").is_some_and(|d| d.iter().any(|&d| d != 1));
        let pads = self.pads(node, value.map_or([0; 4], |v| v.pad))?;
        let clamp = [f32::NEG_INFINITY, f32::INFINITY];
        Ok(Conv { weight: array, group, strides, dilated, pads, scale: vec![1.0; out], bias, clamp, tensors })
    }

    fn pads(&self, node: &GraphNode, before: [usize; 4]) -> Result<Pads, String> {
        match node.text("auto_pad").unwrap_or("NOTSET") {
            "SAME_UPPER" if before == [0; 4] => Ok(Pads::SameUpper),
            "SAME_LOWER" if before == [0; 4] => Ok(Pads::SameLower),
            "VALID" => Ok(Pads::Numbers(before)),
            "NOTSET" | "" => {
                let own = node.ints("pads").unwrap_or(&[0; 4]);
                let mut pads = before;
                let sound = own.len() == 4
                    && pads.iter_mut().zip(own).all(|(p, &o)| {
                        // No kernel of this network reaches further; a larger number is damage.
                        (0..=16).contains(&o) && *p <= 16 && {
                            *p += o as usize;
                            true
                        }
                    });
                sound.then_some(Pads::Numbers(pads)).ok_or_else(|| format!("pads {own:?}"))
            }
            other => Err(format!("auto_pad `{other}`")),
        }
    }
}

fn pair(ints: Option<&[i64]>) -> Option<[usize; 2]> {
    match ints {
        None => Some([1, 1]),
        Some(&[a, b]) => {
            Some([usize::try_from(a).ok().filter(|&a| a > 0)?, usize::try_from(b).ok().filter(|&b| b > 0)?])
        }
        Some(_) => None,
    }
}
