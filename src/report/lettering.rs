//! Text as a bitmap: built-in fonts, enlarged by whole factors for large photos.

use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_8X13_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Drawable, RgbColor};
use embedded_graphics::text::{Baseline, Text};

use super::canvas::{Canvas, blank};

/// A font and the whole factor it is enlarged by.
#[derive(Clone, Copy)]
pub(super) struct Type {
    font: &'static MonoFont<'static>,
    scale: u32,
}

impl Type {
    pub const SMALL: Self = Self { font: &FONT_6X10, scale: 1 };
    pub const MEDIUM: Self = Self { font: &FONT_8X13_BOLD, scale: 1 };
    pub const LARGE: Self = Self { font: &FONT_10X20, scale: 1 };

    /// What reads well on a picture whose shorter side has `pixels`.
    pub fn for_picture(pixels: usize) -> Self {
        match pixels {
            0..=399 => Self::SMALL,
            400..=799 => Self::MEDIUM,
            _ => Self { scale: (pixels as f64 / 900.0).round().max(1.0) as u32, ..Self::LARGE },
        }
    }

    /// Pixels of one character.
    pub fn cell(self) -> Size {
        self.font.character_size * self.scale
    }
}

/// One line of text, ready to be stamped on a canvas.
pub(super) struct Lettering {
    /// Pixels of the unscaled text that are set.
    ink: Vec<Point>,
    size: Size,
    scale: u32,
}

impl Lettering {
    /// Line breaks and other control characters become blanks.
    pub fn new(text: &str, style: Type) -> Self {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cell = style.font.character_size;
        let size = Size::new(cell.width * text.chars().count() as u32, cell.height);
        let mut bitmap = blank(size.width as usize, size.height as usize, Rgb888::BLACK);
        let mut canvas = Canvas { image: &mut bitmap };
        let white = MonoTextStyle::new(style.font, Rgb888::WHITE);
        let Ok(_) = Text::with_baseline(&text, Point::zero(), white, Baseline::Top).draw(&mut canvas);
        let width = canvas.size().width.max(1) as usize;
        let set = bitmap.pixels.chunks_exact(3).enumerate().filter(|(_, pixel)| pixel[0] > 0);
        let ink = set.map(|(i, _)| Point::new((i % width) as i32, (i / width) as i32)).collect();
        Self { ink, size, scale: style.scale }
    }

    /// At most `width` pixels of text: a longer one is cut and ends in two dots.
    pub fn within(text: &str, style: Type, width: u32) -> Self {
        let room = (width / style.cell().width) as usize;
        if text.chars().count() <= room {
            return Self::new(text, style);
        }
        let kept: String = text.chars().take(room.saturating_sub(2)).collect();
        Self::new(&format!("{kept}{}", &".."[..room.min(2)]), style)
    }

    pub fn size(&self) -> Size {
        self.size * self.scale
    }

    /// Every pixel of the text at its scale, from its top left corner.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let scale = self.scale as i32;
        let dots = self.ink.iter().flat_map(move |&dot| (0..scale * scale).map(move |i| (dot, i)));
        dots.map(move |(dot, i)| dot * scale + Point::new(i % scale, i / scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_to_the_room_there_is() {
        for (width, cells) in [(600, 7), (42, 7), (41, 6), (13, 2), (11, 1), (3, 0)] {
            assert_eq!(Lettering::within("raccoon", Type::SMALL, width).size().width, cells * 6, "{width}");
        }
    }

    #[test]
    fn enlarged_text_has_as_many_times_the_ink() {
        let once = Lettering::new("ü1", Type::LARGE);
        let twice = Lettering::new("ü1", Type { scale: 2, ..Type::LARGE });
        assert!(once.points().count() > 20);
        assert_eq!(twice.points().count(), 4 * once.points().count());
        assert_eq!(twice.size(), once.size() * 2);
    }

    #[test]
    fn text_outside_latin_1_and_line_breaks_are_drawn_somehow() {
        assert_eq!(Lettering::new("猫\n\u{7}a", Type::SMALL).size().width, 4 * 6);
        assert_eq!(Lettering::new("", Type::SMALL).points().count(), 0);
    }
}
