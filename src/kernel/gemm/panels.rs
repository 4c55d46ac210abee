//! The right-hand side of a product, packed.

use crate::kernel::isa::Isa;

/// A packed right-hand side.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel) struct Panels {
    pub(super) data: Vec<f32>,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) lanes: usize,
}

impl Panels {
    /// Numbers that a packed `[k, n]` takes.
    pub(in crate::kernel) fn len_of(isa: Isa, k: usize, n: usize) -> usize {
        n.div_ceil(isa.lanes()) * isa.lanes() * (k + 1)
    }

    /// Packs `weight` `[k, n]` with each column times its `scale`, behind `bias`.
    pub(in crate::kernel) fn pack(&mut self, isa: Isa, weight: &[f32], scale: &[f32], bias: &[f32]) {
        let n = scale.len();
        self.reset(isa, weight.len() / n, n);
        let (k, mut rest) = (self.k, self.data.as_mut_slice());
        for (first, width, vectors) in panels(n, isa) {
            let stride = vectors * self.lanes;
            let (panel, behind) = std::mem::take(&mut rest).split_at_mut((k + 1) * stride);
            rest = behind;
            panel[..width].copy_from_slice(&bias[first..first + width]);
            panel[width..stride].fill(0.0);
            let scale = &scale[first..first + width];
            for (row, weight) in panel[stride..].chunks_exact_mut(stride).zip(weight.chunks_exact(n)) {
                for ((to, w), s) in row.iter_mut().zip(&weight[first..first + width]).zip(scale) {
                    *to = w * s;
                }
                row[width..].fill(0.0);
            }
        }
    }

    /// Packs the transpose of `weight` `[n, k]`, each of its columns (rows here) times its `scale` `[k]`, without bias.
    pub(in crate::kernel) fn pack_transposed(&mut self, isa: Isa, weight: &[f32], scale: &[f32]) {
        let k = scale.len();
        let n = weight.len() / k;
        self.reset(isa, k, n);
        let mut rest = self.data.as_mut_slice();
        for (first, width, vectors) in panels(n, isa) {
            let stride = vectors * self.lanes;
            let (panel, behind) = std::mem::take(&mut rest).split_at_mut((k + 1) * stride);
            rest = behind;
            let (bias, panel) = panel.split_at_mut(stride);
            bias.fill(0.0);
            if width < stride {
                panel.fill(0.0);
            }
            // Eight columns of the result at a time: whole cache lines are read, and stores stay within few lines.
            for c in (0..width).step_by(8) {
                let rows = 8.min(width - c);
                let source = &weight[(first + c) * k..][..rows * k];
                if rows == 8 {
                    let row = |r: usize| &source[r * k..][..k];
                    let [a, b, d, e, f, g, h, i] = [0, 1, 2, 3, 4, 5, 6, 7].map(row);
                    for (p, to) in panel.chunks_exact_mut(stride).enumerate() {
                        let s = scale[p];
                        let line = [a[p], b[p], d[p], e[p], f[p], g[p], h[p], i[p]].map(|v| v * s);
                        to[c..c + 8].copy_from_slice(&line);
                    }
                } else {
                    for (r, row) in source.chunks_exact(k).enumerate() {
                        for (p, (w, s)) in row.iter().zip(scale).enumerate() {
                            panel[p * stride + c + r] = w * s;
                        }
                    }
                }
            }
        }
    }

    fn reset(&mut self, isa: Isa, k: usize, n: usize) {
        (self.k, self.n, self.lanes) = (k, n, isa.lanes());
        // Contents do not matter: packing writes all of it.
        self.data.resize(Self::len_of(isa, k, n), 0.0);
    }
}

/// (first column, columns, vectors) of each panel of `n` columns.
fn panels(n: usize, isa: Isa) -> impl Iterator<Item = (usize, usize, usize)> {
    let (lanes, wide) = (isa.lanes(), isa.vectors() * isa.lanes());
    (0..n).step_by(wide).map(move |first| {
        let width = (n - first).min(wide);
        (first, width, width.div_ceil(lanes))
    })
}
