//! The anchors of a network: its convention's rule, on its feature maps.

use super::ssd::Ssd;
use super::weights::{ConvSpec, ConvWeights};
use crate::boxes::{AnchorError, Anchors};

impl<L> Ssd<L> {
    /// # Errors
    /// If the heads have other anchors per cell than the convention's rule.
    pub fn check_anchors(&self) -> Result<(), AnchorError> {
        let rule = &self.convention.anchors;
        // Small maps are as good as any: the rule's fit does not depend on them.
        Anchors::of(rule, &vec![[1, 1]; self.heads.len()], [1, 1])?;
        let per_cell = |i: usize| rule.anchors_per_cell(i);
        match self.heads.iter().enumerate().find(|(i, head)| head.anchors_per_cell != per_cell(*i)) {
            None => Ok(()),
            Some((i, head)) => Err(AnchorError {
                found: format!("{} anchors per cell in head {i}", head.anchors_per_cell),
                expected: format!("{} by the rule {rule}", per_cell(i)),
            }),
        }
    }
}

impl Ssd<ConvSpec> {
    /// The anchors for an input of `[height, width]` pixels.
    ///
    /// # Errors
    /// As for [`Ssd::check_anchors`].
    pub fn anchors(&self, size: [usize; 2]) -> Result<Anchors, AnchorError> {
        self.check_anchors()?;
        Anchors::of(&self.convention.anchors, &self.map_sizes(size), size)
    }
}

impl Ssd<ConvWeights> {
    /// The network's shape.
    pub fn specs(&self) -> Ssd<ConvSpec> {
        self.map(|_, weights| weights.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::AnchorRule;
    use crate::model::{ssd_mobilenet_v2, ssdlite_mobilenet_v2};

    #[test]
    fn anchors_follow_the_convention() {
        let mut network = ssdlite_mobilenet_v2(0.35, 4, true);
        assert_eq!(network.anchors([300, 300]).unwrap(), Anchors::tf_ssd(&network.map_sizes([300, 300])));
        network.convention.anchors = AnchorRule::PytorchSsd;
        let error = network.anchors([300, 300]).unwrap_err().to_string();
        assert_eq!(error, "anchors: found 3 anchors per cell in head 0, expected 6 by the rule pytorch-ssd");
        assert_eq!(ssd_mobilenet_v2(1.0, 91).anchors([300, 300]).unwrap().len(), 1917);
    }

    #[test]
    fn networks_of_older_programs_have_the_convention_of_their_time() {
        let network = ssdlite_mobilenet_v2(0.35, 4, true);
        let text = toml::to_string(&network).unwrap();
        let end = text.find("[convention]").expect("a table of its own");
        let head = text.find("[[extras]]").expect("extras");
        let old = format!("{}{}", &text[..head], text[head..end].replace("spatial", "depthwise"));
        let rest = text[end..].find("[[").map_or("", |at| &text[end..][at..]);
        assert_eq!(toml::from_str::<Ssd<ConvSpec>>(&(old + rest)).unwrap(), network);
    }
}
