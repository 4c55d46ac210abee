//! The box coder: a box as four deltas from its anchor, the form the network predicts.
//!
//! `ty = (cy - cy_a) / h_a · 10`, `tx = (cx - cx_a) / w_a · 10`, `th = ln(h / h_a) · 5`, `tw = ln(w / w_a) · 5`
//! (Faster R-CNN's parametrisation with TensorFlow's weights). The weights 10, 10, 5, 5 are the reciprocals of the
//! variances 0.1, 0.1, 0.2, 0.2 of other SSD implementations; they bring the four targets to similar size.

use super::{CenterBox, CornerBox};

/// A box of no height or width has no logarithm; it is encoded as this thin.
const MIN_SIDE: f64 = 1e-6;

/// Weights of the four deltas, in their order ty, tx, th, tw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxCoder {
    pub weights: [f64; 4],
}

impl Default for BoxCoder {
    fn default() -> Self {
        Self { weights: [10.0, 10.0, 5.0, 5.0] }
    }
}

impl BoxCoder {
    /// The deltas ty, tx, th, tw that [`BoxCoder::decode`] turns back into `b`.
    pub fn encode(&self, anchor: &CenterBox, b: &CornerBox) -> [f64; 4] {
        let [wy, wx, wh, ww] = self.weights;
        let c = b.center();
        [
            (c.cy - anchor.cy) / anchor.h * wy,
            (c.cx - anchor.cx) / anchor.w * wx,
            (c.h.max(MIN_SIDE) / anchor.h).ln() * wh,
            (c.w.max(MIN_SIDE) / anchor.w).ln() * ww,
        ]
    }

    /// The box that the deltas ty, tx, th, tw describe; not clipped to the image, and not finite if they are wild.
    pub fn decode(&self, anchor: &CenterBox, [ty, tx, th, tw]: [f64; 4]) -> CornerBox {
        let [wy, wx, wh, ww] = self.weights;
        CenterBox {
            cx: tx / wx * anchor.w + anchor.cx,
            cy: ty / wy * anchor.h + anchor.cy,
            w: (tw / ww).exp() * anchor.w,
            h: (th / wh).exp() * anchor.h,
        }
        .corners()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_undoes_encode() {
        let coder = BoxCoder::default();
        let anchor = CenterBox { cx: 0.3, cy: 0.7, w: 0.2, h: 0.4 };
        for b in [
            CornerBox::new(0.1, 0.2, 0.5, 0.9),
            CornerBox::new(0.0, 0.0, 1.0, 1.0),
            CornerBox::new(0.9, 0.01, 0.91, 0.02),
            CornerBox::new(-0.2, 0.4, 1.3, 0.5),
        ] {
            let d = coder.decode(&anchor, coder.encode(&anchor, &b));
            for (got, want) in [(d.x0, b.x0), (d.y0, b.y0), (d.x1, b.x1), (d.y1, b.y1)] {
                assert!((got - want).abs() < 1e-12, "{d:?} is not {b:?}");
            }
        }
    }

    #[test]
    fn an_anchor_is_four_zeros_from_itself() {
        let anchor = CenterBox { cx: 0.5, cy: 0.5, w: 0.25, h: 0.5 };
        assert_eq!(BoxCoder::default().encode(&anchor, &anchor.corners()), [0.0; 4]);
    }

    #[test]
    fn a_box_without_area_has_finite_deltas() {
        let anchor = CenterBox { cx: 0.5, cy: 0.5, w: 0.25, h: 0.5 };
        let deltas = BoxCoder::default().encode(&anchor, &CornerBox::new(0.1, 0.1, 0.1, 0.1));
        assert!(deltas.iter().all(|d| d.is_finite()));
    }
}
