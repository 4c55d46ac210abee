//! Expand, depthwise, project as one operation: the inverted residual, and whatever has its shape.
//!
//! The expanded tensor is six times as wide as what goes in and comes out. It only ever exists a few rows at a time, in
//! cache: forward makes it, uses it and forgets it, backward makes it again. What a block keeps for its way back is its
//! input alone.
//!
//! The stem and the first block are one such operation (the stem is its dense expansion), an extra feature map is one
//! (reduce, depthwise, expand), and so is a predictor (depthwise, project). Rows run through in tiles; rows of the
//! expanded tensor that two tiles need are kept from one to the next. Bands of rows go to different threads, which both
//! make the rows along their border.

use super::depthwise3::{self, Band, Plane};
use super::gemm::{End, Panels, Rows, product, weight_product};
use super::isa::Isa;
use super::shape::{ConvGeometry, Kind, Layer};
use super::workspace::{Workspace, first};
use super::{ChannelSums, activation, dense};
use rayon::prelude::*;
use std::ops::Range;

/// The layers of a block and how they hang together: `y = project(depthwise(expand(x))) (+ x)`.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Pointwise or dense.
    pub expand: Option<Layer<'a>>,
    /// 3x3 at stride 1 or 2.
    pub depthwise: Layer<'a>,
    pub project: Layer<'a>,
    /// Whether the input is added to the (linear) output.
    pub residual: bool,
}

/// Where the gradient of one layer's numbers goes: **added**.
#[derive(Debug)]
pub struct LayerSums<'a> {
    pub dw: &'a mut [f32],
    pub db: &'a mut [f32],
}

/// Where a block's backward pass leaves its results.
#[derive(Debug)]
pub struct BlockGradients<'a> {
    /// Overwritten with the gradient of the input; `None` where nothing upstream is trained.
    pub dx: Option<&'a mut [f32]>,
    /// Expand (if there is one), depthwise, project; `None` where the block is frozen.
    pub sums: Option<Vec<LayerSums<'a>>>,
}

/// Numbers that a tile's buffers hold together at most, where a single row does not need more: what fits the
/// second-level cache of a small processor beside the weights.
const TILE_FLOATS: usize = 96 << 10;

/// Multiply-accumulates below which a block is not shared between threads.
const FORK_MACS: usize = 1 << 19;

impl Block<'_> {
    /// Whether this operation can do such layers.
    pub fn fits(expand: Option<&ConvGeometry>, depthwise: &ConvGeometry) -> bool {
        Plane::fits(depthwise) && expand.is_none_or(|e| e.kind != Kind::Depthwise)
    }

    fn plane(&self) -> Plane {
        Plane::of(&self.depthwise.geometry)
    }

    fn input(&self) -> &ConvGeometry {
        self.expand.as_ref().map_or(&self.depthwise.geometry, |e| &e.geometry)
    }

    fn check(&self) {
        let (d, p) = (self.depthwise.geometry, self.project.geometry);
        assert!(Plane::fits(&d) && d.kind == Kind::Depthwise && p.kind == Kind::Pointwise, "a block of {d:?} and {p:?}");
        assert_eq!((d.n, d.oh, d.ow, d.cout), (p.n, p.h, p.w, p.cin), "a block of {d:?} and {p:?}");
        for layer in self.expand.iter().chain([&self.depthwise, &self.project]) {
            let g = layer.geometry;
            assert_eq!(layer.weight.len(), g.weight_len(), "weight of {g:?}");
            assert_eq!((layer.scale.len(), layer.bias.len()), (g.cout, g.cout), "scale and bias of {g:?}");
        }
        if let Some(e) = &self.expand {
            let e = e.geometry;
            assert_eq!((e.n, e.oh, e.ow, e.cout), (d.n, d.h, d.w, d.cin), "a block of {e:?} and {d:?}");
        }
        let (i, relu6) = (self.input(), p.relu6);
        assert!(!self.residual || !relu6 && i.input_len() == p.output_len(), "a residual over {i:?} and {p:?}");
    }

    fn macs(&self) -> usize {
        let layers = self.expand.iter().chain([&self.depthwise, &self.project]);
        layers.map(|l| l.geometry.macs()).sum()
    }

    /// Output rows worked on together; `copies` counts the buffers of each width.
    fn tile_rows(&self, copies: usize) -> usize {
        let (p, d) = (self.plane(), self.depthwise.geometry);
        let weights: usize = self.expand.iter().chain([&self.project]).map(|l| l.weight.len()).sum();
        let expanded = if self.expand.is_some() { p.w * d.cin } else { 0 };
        // Where the weights outweigh the map, running through them once is what counts.
        let budget = TILE_FLOATS.max(weights).saturating_sub(copies * 2 * expanded);
        (budget / (copies * (p.stride * expanded + p.ow * d.cout))).clamp(1, p.oh)
    }

    /// Pieces of the work: (image, rows of a map of `height`), and how many of them share a group's sums.
    fn bands(&self, height: usize) -> Vec<(usize, Range<usize>)> {
        let (n, threads) = (self.project.geometry.n, rayon::current_num_threads());
        let fork = threads > 1 && self.macs() >= FORK_MACS;
        let bands = if fork && n < threads { (threads / n).min(height / 4).max(1) } else { 1 };
        let cut = |b: usize| height * b / bands;
        (0..n).flat_map(|i| (0..bands).map(move |b| (i, cut(b)..cut(b + 1)))).collect()
    }
}

/// ReLU6 or nothing.
fn activated(g: &ConvGeometry) -> End {
    if g.relu6 { End::Clamp } else { End::Store }
}

/// `y = project(depthwise(expand(x))) (+ x)`; overwrites `y`. `observed` takes the sums of the inputs of expand (if
/// there is one), depthwise and project.
///
/// # Panics
/// If a buffer's length disagrees with the geometry or the layers do not follow one another.
pub fn block_forward(isa: Isa, block: &Block, x: &[f32], y: &mut [f32], observed: Option<&mut [ChannelSums]>) {
    block.check();
    assert_eq!(x.len(), block.input().input_len(), "input of {:?}", block.input());
    assert_eq!(y.len(), block.project.geometry.output_len(), "output of {:?}", block.project.geometry);
    let mut shared = Workspace::take();
    let Workspace { panels: [expand, project, ..], taps: [taps, _], .. } = &mut *shared;
    if let Some(e) = &block.expand {
        expand.pack(isa, e.weight, e.scale, e.bias);
    }
    project.pack(isa, block.project.weight, block.project.scale, block.project.bias);
    taps.forward(block.depthwise.weight, block.depthwise.scale, block.depthwise.bias);
    let ready = Forward { isa, block, expand, project, taps };
    let (p, image) = (block.plane(), x.len() / block.project.geometry.n);
    let row = p.ow * block.project.geometry.cout;
    let mut rest = y;
    let bands: Vec<_> = block
        .bands(p.oh)
        .into_iter()
        .map(|(i, rows)| {
            let (y, behind) = std::mem::take(&mut rest).split_at_mut(rows.len() * row);
            rest = behind;
            (&x[i * image..][..image], rows, y)
        })
        .collect();
    let watch = observed.is_some();
    let run = |(x, rows, y): (&[f32], Range<usize>, &mut [f32])| ready.band(x, rows, y, watch);
    let seen: Vec<[ChannelSums; 2]> = if rayon::current_num_threads() > 1 && block.macs() >= FORK_MACS {
        bands.into_par_iter().map(run).collect()
    } else {
        bands.into_iter().map(run).collect()
    };
    if let Some(observed) = observed {
        let inner = observed.len() - 2;
        if inner > 0 {
            observed[0].add(x, block.input().cin);
        }
        for sums in &seen {
            observed[inner].merge(&sums[0]);
            observed[inner + 1].merge(&sums[1]);
        }
    }
}

/// A block's numbers made ready for the way forward.
#[derive(Clone, Copy)]
struct Forward<'a> {
    isa: Isa,
    block: &'a Block<'a>,
    expand: &'a Panels,
    project: &'a Panels,
    taps: &'a depthwise3::Weights,
}

impl Forward<'_> {
    /// Some output rows of one image. Returns the sums of the inputs of depthwise and project where `watch`.
    fn band(&self, x: &[f32], rows: Range<usize>, y: &mut [f32], watch: bool) -> [ChannelSums; 2] {
        let (block, p, mut workspace) = (self.block, self.block.plane(), Workspace::take());
        let Workspace { expanded, wide, patches, zeros, .. } = &mut *workspace;
        let project = block.project.geometry;
        let (cin, cout) = (project.cin, project.cout);
        let zeros = first(zeros, p.w * p.c);
        let (height, mut made, mut seen) = (block.tile_rows(1), 0..0, [ChannelSums::default(), ChannelSums::default()]);
        // Input rows whose sums are this band's: the bands' shares do not overlap.
        let begin = |o: usize| if o == 0 { 0 } else { p.inputs(o..o + 1).start };
        let own = begin(rows.start)..if rows.end == p.oh { p.h } else { begin(rows.end) };
        let mut counted = own.start;
        for start in rows.clone().step_by(height) {
            let out = start..(start + height).min(rows.end);
            let need = p.inputs(out.clone());
            let band = match &block.expand {
                None => Band { data: x, first: 0 },
                Some(layer) => {
                    let new = advance(expanded, &mut made, need.clone(), p.w * p.c);
                    expand_rows(self.isa, layer, self.expand, x, new.clone(), patches, {
                        &mut expanded[(new.start - need.start) * p.w * p.c..]
                    });
                    Band { data: expanded, first: need.start }
                }
            };
            if watch && counted < need.end.min(own.end) {
                let rows = counted..need.end.min(own.end);
                seen[0].add(&band.data[(rows.start - band.first) * p.w * p.c..][..rows.len() * p.w * p.c], p.c);
                counted = rows.end;
            }
            let pixels = out.len() * p.ow;
            let wide = first(wide, pixels * cin);
            let end = activated(&block.depthwise.geometry);
            depthwise3::forward(self.isa, &p, band, self.taps, zeros, out.clone(), wide, end);
            if watch {
                seen[1].add(wide, cin);
            }
            let at = (start - rows.start) * p.ow * cout;
            let (end, aux) = match block.residual {
                true => (End::Add, Some(&x[start * p.ow * cout..])),
                false => (activated(&project), None),
            };
            let wide = Rows { data: wide, stride: cin };
            product(self.isa, pixels, wide, self.project, &mut y[at..][..pixels * cout], end, aux);
        }
        seen
    }
}

/// Makes room for rows `need` in a buffer that holds rows `made`, keeping those that are in both; returns the rows that
/// are to be made.
fn advance(buffer: &mut Vec<f32>, made: &mut Range<usize>, need: Range<usize>, row: usize) -> Range<usize> {
    first(buffer, need.len() * row);
    let kept = need.start.max(made.start)..made.end.min(need.end);
    let new = if kept.is_empty() {
        need.clone()
    } else {
        debug_assert_eq!(kept.start, need.start, "tiles go forward");
        buffer.copy_within((kept.start - made.start) * row..(kept.end - made.start) * row, 0);
        kept.end..need.end
    };
    *made = need;
    new
}

/// Rows `rows` of the expanded tensor of one image.
fn expand_rows(
    isa: Isa,
    layer: &Layer,
    panels: &Panels,
    x: &[f32],
    rows: Range<usize>,
    patches: &mut Vec<f32>,
    to: &mut [f32],
) {
    let g = layer.geometry;
    if rows.is_empty() {
        return;
    }
    let (pixels, end) = (rows.len() * g.ow, activated(&g));
    let x = match g.kind {
        Kind::Dense => Rows { data: dense::unroll(&g, x, rows, patches), stride: g.kh * g.kw * g.cin },
        _ => Rows { data: &x[rows.start * g.w * g.cin..], stride: g.cin },
    };
    product(isa, pixels, x, panels, &mut to[..pixels * g.cout], end, None);
}

/// The way back. `y` is the output where it ends in ReLU6.
///
/// # Panics
/// If a buffer's length disagrees with the geometry, or the input gradient of a dense expansion is asked for.
pub fn block_backward(isa: Isa, block: &Block, x: &[f32], y: Option<&[f32]>, dy: &[f32], out: BlockGradients) {
    block.check();
    let (p, project, input) = (block.plane(), block.project.geometry, *block.input());
    assert_eq!((x.len(), dy.len()), (input.input_len(), project.output_len()), "gradients of {input:?}");
    assert_eq!(y.map(<[f32]>::len), project.relu6.then_some(dy.len()), "the output of {project:?}");
    let BlockGradients { dx, sums } = out;
    assert!(dx.as_ref().is_none_or(|d| d.len() == x.len() && input.kind != Kind::Dense), "input gradient of {input:?}");
    let mut shared = Workspace::take();
    let Workspace { panels: [expand, expand_back, project_back, _], taps: [taps, taps_back], .. } = &mut *shared;
    if let Some(e) = &block.expand {
        expand.pack(isa, e.weight, e.scale, e.bias);
        if dx.is_some() {
            expand_back.pack_transposed(isa, e.weight, e.scale);
        }
    }
    project_back.pack_transposed(isa, block.project.weight, block.project.scale);
    taps.forward(block.depthwise.weight, block.depthwise.scale, block.depthwise.bias);
    taps_back.backward(block.depthwise.weight, block.depthwise.scale, p.stride);
    let ready = Backward { isa, block, expand, expand_back, project_back, taps, taps_back };
    let n = project.n;
    let (image, image_out, row) = (x.len() / n, dy.len() / n, p.w * input.cin);
    // A dense expansion has another input height than the depthwise layer; it wants no input gradient.
    let bands = block.bands(p.h);
    let mut pieces = Vec::with_capacity(bands.len());
    let mut rest = dx;
    for (i, rows) in bands {
        let dx = rest.take().map(|d| {
            let (dx, behind) = d.split_at_mut(rows.len() * row);
            rest = Some(behind);
            dx
        });
        let at = i * image_out..(i + 1) * image_out;
        let y = y.map(|y| &y[at.clone()]);
        pieces.push(Piece { x: &x[i * image..][..image], y, dy: &dy[at], rows, dx });
    }
    let Some(mut sums) = sums else {
        pieces.into_iter().for_each(|piece| ready.piece(piece, None));
        return;
    };
    let threads = rayon::current_num_threads();
    if threads == 1 || pieces.len() == 1 || block.macs() < FORK_MACS {
        pieces.into_iter().for_each(|piece| ready.piece(piece, Some(&mut sums)));
        return;
    }
    // Each thread sums its share of the pieces; the shares are added in order.
    let share = pieces.len().div_ceil(threads);
    let mut groups: Vec<Vec<Piece>> = Vec::new();
    for piece in pieces {
        match groups.last_mut() {
            Some(group) if group.len() < share => group.push(piece),
            _ => groups.push(vec![piece]),
        }
    }
    let lengths: Vec<[usize; 2]> = sums.iter().map(|s| [s.dw.len(), s.db.len()]).collect();
    let total: usize = lengths.iter().flatten().sum();
    let mut groups = groups.into_iter();
    let own = groups.next().expect("there is a piece");
    let others: Vec<Vec<Piece>> = groups.collect();
    let (_, partials) = rayon::join(
        || own.into_iter().for_each(|piece| ready.piece(piece, Some(&mut sums))),
        || {
            let run = |group: Vec<Piece>| {
                let mut loan = Workspace::take();
                let mut rest = first(&mut loan.partial, total);
                rest.fill(0.0);
                let mut partial = Vec::with_capacity(lengths.len());
                for &[w, b] in &lengths {
                    let (dw, behind) = std::mem::take(&mut rest).split_at_mut(w);
                    let (db, behind) = behind.split_at_mut(b);
                    rest = behind;
                    partial.push(LayerSums { dw, db });
                }
                group.into_iter().for_each(|piece| ready.piece(piece, Some(&mut partial)));
                loan
            };
            others.into_par_iter().map(run).collect::<Vec<_>>()
        },
    );
    for partial in partials {
        let mut rest = &partial.partial[..total];
        for s in &mut sums {
            for to in [&mut *s.dw, &mut *s.db] {
                activation::add(isa, to, &rest[..to.len()]);
                rest = &rest[to.len()..];
            }
        }
    }
}

/// Some input rows of one image on the way back.
struct Piece<'a> {
    x: &'a [f32],
    y: Option<&'a [f32]>,
    dy: &'a [f32],
    /// Rows of the depthwise layer's input.
    rows: Range<usize>,
    /// Those rows of the input gradient.
    dx: Option<&'a mut [f32]>,
}

/// A block's numbers made ready for the way back.
#[derive(Clone, Copy)]
struct Backward<'a> {
    isa: Isa,
    block: &'a Block<'a>,
    expand: &'a Panels,
    expand_back: &'a Panels,
    project_back: &'a Panels,
    taps: &'a depthwise3::Weights,
    taps_back: &'a depthwise3::Weights,
}

impl Backward<'_> {
    fn piece(&self, piece: Piece, mut sums: Option<&mut Vec<LayerSums>>) {
        let (isa, block, p, mut workspace) = (self.isa, self.block, self.block.plane(), Workspace::take());
        let Workspace { expanded, wide, d_wide, d_expanded, masked, patches, zeros, .. } = &mut *workspace;
        let Piece { x, y, dy, rows, mut dx } = piece;
        let (input, project) = (*block.input(), block.project.geometry);
        let (cin, cout, row, row_out) = (project.cin, project.cout, p.w * p.c, p.ow * project.cin);
        let zeros = first(zeros, row.max(row_out));
        let inner = usize::from(block.expand.is_some());
        // An output's share of the weight gradients belongs to the piece that has the middle of its window.
        let owner = |o: usize| (o * p.stride + 1).saturating_sub(p.top).min(p.h - 1);
        let own = (0..p.oh).filter(|&o| rows.contains(&owner(o)));
        let own = own.clone().next().unwrap_or(0)..own.last().map_or(0, |o| o + 1);
        let touched = p.outputs(rows.clone());
        let all = if own.is_empty() { touched } else { touched.start.min(own.start)..touched.end.max(own.end) };
        let (height, mut made, mut done) = (block.tile_rows(2), 0..0, rows.start);
        // Rows of d_wide that the buffer holds.
        let mut held: Range<usize> = 0..0;
        for start in all.clone().step_by(height) {
            let out = start..(start + height).min(all.end);
            // Input rows that no later output reaches.
            let next = if out.end == all.end { rows.end } else { (out.end * p.stride).saturating_sub(p.top) };
            let ready = done..next.clamp(done, rows.end);
            done = ready.end;
            let need = p.inputs(out.clone());
            let need = need.start.min(ready.start)..need.end.max(ready.end);
            let band = match &block.expand {
                None => Band { data: x, first: 0 },
                Some(layer) => {
                    let new = advance(expanded, &mut made, need.clone(), row);
                    let to = &mut expanded[(new.start - need.start) * row..];
                    expand_rows(isa, layer, self.expand, x, new, patches, to);
                    Band { data: expanded, first: need.start }
                }
            };
            let pixels = out.len() * p.ow;
            let wide = first(wide, pixels * cin);
            let end = activated(&block.depthwise.geometry);
            depthwise3::forward(isa, &p, band, self.taps, zeros, out.clone(), wide, end);
            let mut g = &dy[start * p.ow * cout..][..pixels * cout];
            if let Some(y) = y {
                let masked = first(masked, g.len());
                activation::mask(isa, masked, g, &y[start * p.ow * cout..][..g.len()]);
                g = masked;
            }
            // Two rows of the last tile reach into the input rows of this one.
            let keep = held.end.saturating_sub(2).max(held.start)..held.end;
            let (first_kept, kept) = (keep.start - held.start, keep.len());
            first(d_wide, (kept + out.len()) * row_out);
            d_wide.copy_within(first_kept * row_out..(first_kept + kept) * row_out, 0);
            held = out.start - kept..out.end;
            let fresh = &mut d_wide[kept * row_out..][..pixels * cin];
            let (end, aux) = match block.depthwise.geometry.relu6 {
                true => (End::Mask, Some(&*wide)),
                false => (End::Store, None),
            };
            product(isa, pixels, Rows { data: g, stride: cout }, self.project_back, fresh, end, aux);
            if let Some(sums) = &mut sums {
                let mine = out.start.max(own.start)..out.end.min(own.end);
                if !mine.is_empty() {
                    let (skip, rows) = ((mine.start - out.start) * p.ow, mine.len() * p.ow);
                    let g = &g[skip * cout..][..rows * cout];
                    let LayerSums { dw, db } = &mut sums[inner + 1];
                    let (left, right) =
                        (Rows { data: &wide[skip * cin..], stride: cin }, Rows { data: g, stride: cout });
                    weight_product(isa, [rows, cin, cout], left, right, block.project.scale, dw);
                    activation::sum_rows(isa, g, db);
                    let LayerSums { dw, db } = &mut sums[inner];
                    let d = &fresh[skip * cin..][..rows * cin];
                    depthwise3::backward_weight(isa, &p, band, d, zeros, mine, block.depthwise.scale, dw, db);
                }
            }
            if ready.is_empty() || (dx.is_none() && (block.expand.is_none() || sums.is_none())) {
                continue;
            }
            let d_band = Band { data: d_wide, first: held.start };
            let place = (ready.start - rows.start) * p.w * input.cin;
            let Some(layer) = &block.expand else {
                if let Some(dx) = &mut dx {
                    let to = &mut dx[place..][..ready.len() * row];
                    depthwise3::backward_input(isa, &p, d_band, self.taps_back, zeros, ready.clone(), to, None, None);
                    if block.residual {
                        activation::add(isa, to, &dy[ready.start * row..][..ready.len() * row]);
                    }
                }
                continue;
            };
            let pixels = ready.len() * p.w;
            let d_expanded = first(d_expanded, pixels * p.c);
            let mask = layer.geometry.relu6.then(|| &band.data[(ready.start - band.first) * row..]);
            let db = sums.as_mut().map(|s| &mut *s[0].db);
            depthwise3::backward_input(isa, &p, d_band, self.taps_back, zeros, ready.clone(), d_expanded, mask, db);
            let d = Rows { data: d_expanded, stride: p.c };
            if let Some(sums) = &mut sums {
                let g = layer.geometry;
                let depth = g.kh * g.kw * g.cin;
                let x = match g.kind {
                    Kind::Dense => Rows { data: dense::unroll(&g, x, ready.clone(), patches), stride: depth },
                    _ => Rows { data: &x[ready.start * g.w * g.cin..], stride: g.cin },
                };
                weight_product(isa, [pixels, depth, g.cout], x, d, layer.scale, sums[0].dw);
            }
            if let Some(dx) = &mut dx {
                let to = &mut dx[place..][..pixels * input.cin];
                let (end, aux) = match block.residual {
                    true => (End::Add, Some(&dy[ready.start * p.ow * cout..])),
                    false => (End::Store, None),
                };
                product(isa, pixels, d, self.expand_back, to, end, aux);
            }
        }
        // Rows that no output reads, where padding is odd.
        if let (Some(dx), true) = (&mut dx, done < rows.end) {
            dx[(done - rows.start) * p.w * input.cin..].fill(0.0);
        }
    }
}
