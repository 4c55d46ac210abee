//! The meaning of a box's four numbers: their units, and what each of them is.

/// How the four numbers of a box are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Pixels of the image at its declared size.
    Pixels,
    /// Fractions of the image.
    Fractions,
}

/// The meaning of the four numbers of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WrittenBox {
    /// x0, y0, x1, y1.
    #[default]
    Corners,
    /// Left, top, width, height.
    Xywh,
    /// Centre and size.
    Centre,
}

/// How the boxes of a set are read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BoxForm {
    pub(super) declared: WrittenBox,
    pub(super) read: WrittenBox,
    /// A second form that fits as well as `read`.
    pub(super) rival: Option<WrittenBox>,
    /// The units that the numbers are in, where those are not the format's.
    pub(super) units: Option<Units>,
    pub(super) boxes: usize,
    pub(super) misfits: usize,
    /// True if corners reversed on one axis only would all fit their image as x, y, w, h.
    pub(super) reversed_may_be_xywh: bool,
    /// True if the labels of the set give sizes of images.
    pub(super) sizes_given: bool,
}

impl WrittenBox {
    pub fn name(self) -> &'static str {
        match self {
            WrittenBox::Corners => "corners (x0, y0, x1, y1)",
            WrittenBox::Xywh => "left, top, width, height",
            WrittenBox::Centre => "centre, width, height",
        }
    }

    /// Corners of the numbers as they are written.
    pub fn corners(self, [a, b, c, d]: [f64; 4]) -> [f64; 4] {
        match self {
            WrittenBox::Corners => [a, b, c, d],
            WrittenBox::Xywh => [a, b, a + c, b + d],
            WrittenBox::Centre => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
        }
    }

    /// The numbers as they are written, of corners that were read in this form.
    pub(super) fn numbers(self, [a, b, c, d]: [f64; 4]) -> [f64; 4] {
        match self {
            WrittenBox::Corners => [a, b, c, d],
            WrittenBox::Xywh => [a, b, c - a, d - b],
            WrittenBox::Centre => [(a + c) / 2.0, (b + d) / 2.0, c - a, d - b],
        }
    }

    /// True if the numbers make a box inside the image.
    pub(super) fn fits(self, numbers: [f64; 4], [w, h]: [f64; 2], slack: f64) -> bool {
        let [x0, y0, x1, y1] = self.corners(numbers);
        x0 < x1 && y0 < y1 && x0 >= -slack && y0 >= -slack && x1 <= w + slack && y1 <= h + slack
    }
}

/// The evidence of one box of corners: whether it is reversed on each axis, and whether it would lie inside as x, y, w,
/// h.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    pub(super) reversed: [bool; 2],
    pub(super) fits_as_xywh: bool,
}

impl Evidence {
    pub fn of(numbers: [f64; 4], size: [f64; 2]) -> Self {
        let [x, y, w, h] = numbers;
        // A pixel of slack for tools that count from 1.
        Self { reversed: [w < x, h < y], fits_as_xywh: WrittenBox::Xywh.fits(numbers, size, 1.0) }
    }

    pub(super) fn reversed_on_one_axis(&self) -> bool {
        self.reversed[0] != self.reversed[1]
    }
}

impl BoxForm {
    /// As the format demands, whatever the boxes say.
    pub fn declared(declared: WrittenBox) -> Self {
        let (read, rival, units) = (declared, None, None);
        Self { declared, read, rival, units, boxes: 0, misfits: 0, reversed_may_be_xywh: false, sizes_given: false }
    }

    /// The units that the numbers of a set in these units are in.
    pub fn units(&self, format: Units) -> Units {
        self.units.unwrap_or(format)
    }

    /// Corners of a box that was read as the format demands.
    pub fn corners(&self, corners: [f64; 4]) -> [f64; 4] {
        match self.read == self.declared {
            true => corners,
            false => self.read.corners(self.declared.numbers(corners)),
        }
    }

    pub fn sizes_given(&self) -> bool {
        self.sizes_given
    }

    pub fn is_as_declared(&self) -> bool {
        self.read == self.declared
    }

    /// True if the corners of one image are to be read as x, y, w, h although the set is not.
    pub fn is_xywh(&self, boxes: &[Evidence]) -> bool {
        if self.declared != WrittenBox::Corners || self.read != WrittenBox::Corners {
            return false;
        }
        let all_fit = boxes.iter().all(|e| e.fits_as_xywh);
        let one_axis = boxes.iter().any(Evidence::reversed_on_one_axis);
        let many = boxes.len() >= 3 && boxes.iter().any(|e| e.reversed[0] || e.reversed[1]);
        all_fit && ((one_axis && self.reversed_may_be_xywh) || many)
    }
}
