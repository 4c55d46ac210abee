//! The sizes of one convolution at work, and the slices it works on.

/// The kind of sum that a convolution is; decides the kernel and the weight layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// 1x1, stride 1, no padding. Weight `[Cin, Cout]`.
    Pointwise,
    /// One filter per channel. Weight `[kh, kw, C]`.
    Depthwise,
    /// All channels to all channels. Weight `[kh, kw, Cin, Cout]`.
    Dense,
}

/// Sizes of a convolution: input `[n, h, w, cin]`, output `[n, oh, ow, cout]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    pub kind: KernelKind,
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub cin: usize,
    pub oh: usize,
    pub ow: usize,
    pub cout: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: usize,
    /// Rows of zeros above and columns of zeros left of the input; below and right follow from the output size.
    pub top: usize,
    pub left: usize,
    /// ReLU6 on the output, or none.
    pub relu6: bool,
}

impl ConvGeometry {
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.cin
    }

    pub fn output_len(&self) -> usize {
        self.n * self.oh * self.ow * self.cout
    }

    pub fn weight_len(&self) -> usize {
        match self.kind {
            KernelKind::Depthwise => self.kh * self.kw * self.cout,
            KernelKind::Pointwise | KernelKind::Dense => self.kh * self.kw * self.cin * self.cout,
        }
    }

    /// Output pixels over the whole batch.
    pub fn output_pixels(&self) -> usize {
        self.n * self.oh * self.ow
    }

    /// Multiply-accumulates of one forward pass, padding counted.
    pub fn macs(&self) -> usize {
        self.output_pixels() * self.weight_len()
    }

    /// The input row (or column) that tap `k` of output `o` reads, or `None` where it falls on padding.
    pub(super) fn tap(o: usize, k: usize, stride: usize, before: usize, size: usize) -> Option<usize> {
        (o * stride + k).checked_sub(before).filter(|&i| i < size)
    }

    /// The output row (or column) whose tap `k` reads input `i`, or `None` where there is none.
    pub(super) fn source(i: usize, k: usize, stride: usize, before: usize, size: usize) -> Option<usize> {
        (i + before).checked_sub(k).filter(|t| t % stride == 0).map(|t| t / stride).filter(|&o| o < size)
    }
}

/// The numbers of a layer: `y = act(scale·conv(x, weight) + bias)`.
#[derive(Clone, Copy, Debug)]
pub struct LayerValues<'a> {
    pub geometry: ConvGeometry,
    pub weight: &'a [f32],
    /// `[cout]`, frozen.
    pub scale: &'a [f32],
    /// `[cout]`.
    pub bias: &'a [f32],
}

/// The destination of a backward pass.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Overwritten with the gradient of the input; `None` where nothing upstream is trained.
    pub dx: Option<&'a mut [f32]>,
    /// **Added** to. `None` where the layer is frozen.
    pub dw: Option<&'a mut [f32]>,
    /// **Added** to. `None` where the layer is frozen.
    pub db: Option<&'a mut [f32]>,
}
