//! Text as a bitmap: built-in Latin-1 fonts, enlarged by whole factors for large photos. A text with any other
//! character is set as a whole in Unifont, which covers the Basic Multilingual Plane at 16 pixels; a character that
//! even that lacks is written as its number.

use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_8X13_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Drawable, RgbColor};
use embedded_graphics::text::{Baseline, Text};
use unicode_normalization::UnicodeNormalization;
use unifont::get_glyph;

use super::canvas::{Canvas, blank};

/// The direction in which text runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Right,
    /// From bottom to top, turned by a quarter.
    Up,
}

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

    /// The type that reads well on a picture whose shorter side has `pixels`.
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
        Self::of_clean(&clean(text), style)
    }

    fn of_clean(text: &str, style: Type) -> Self {
        if !is_latin(text) {
            return Self::in_unifont(text, style.scale);
        }
        let cell = style.font.character_size;
        let size = Size::new(cell.width * text.chars().count() as u32, cell.height);
        let mut bitmap = blank(size.width as usize, size.height as usize, Rgb888::BLACK);
        let mut canvas = Canvas { image: &mut bitmap };
        let white = MonoTextStyle::new(style.font, Rgb888::WHITE);
        let Ok(_) = Text::with_baseline(text, Point::zero(), white, Baseline::Top).draw(&mut canvas);
        let width = canvas.size().width.max(1) as usize;
        let set = bitmap.pixels.chunks_exact(3).enumerate().filter(|(_, pixel)| pixel[0] > 0);
        let ink = set.map(|(i, _)| Point::new((i % width) as i32, (i / width) as i32)).collect();
        Self { ink, size, scale: style.scale }
    }

    fn in_unifont(text: &str, scale: u32) -> Self {
        let (mut ink, mut width) = (Vec::new(), 0);
        for glyph in text.chars().filter_map(get_glyph) {
            let columns = glyph.get_width();
            let dots = (0..columns * UNIFONT_HEIGHT).map(|i| (i % columns, i / columns));
            ink.extend(
                dots.filter(|&(x, y)| glyph.get_pixel(x, y)).map(|(x, y)| Point::new(width + x as i32, y as i32)),
            );
            width += columns as i32;
        }
        Self { ink, size: Size::new(width as u32, UNIFONT_HEIGHT as u32), scale }
    }

    /// At most `width` pixels of text: a longer one is cut and ends in two dots.
    pub fn within(text: &str, style: Type, width: u32) -> Self {
        let text = clean(text);
        let room = width / style.scale;
        let widths: Vec<u32> = text.chars().map(|c| advance(c, is_latin(&text), style)).collect();
        if widths.iter().sum::<u32>() <= room {
            return Self::of_clean(&text, style);
        }
        let dot = advance('.', is_latin(&text), style);
        let dots = (room / dot).min(2);
        let mut used = dots * dot;
        let fits = |w: &&u32| {
            used += **w;
            used <= room
        };
        let kept = widths.iter().take_while(fits).count();
        let kept: String = text.chars().take(kept).collect();
        // The kept part may be Latin where the whole was not: one font for both, so that the width holds.
        let cut = format!("{kept}{}", &".."[..dots as usize]);
        if is_latin(&text) { Self::of_clean(&cut, style) } else { Self::in_unifont(&cut, style.scale) }
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

    /// Draws the text with its top left corner (of the text as turned) at `at`.
    pub fn write(&self, canvas: &mut Canvas, at: Point, color: Rgb888, direction: Direction) {
        let height = self.size().width as i32;
        for Point { x, y } in self.points() {
            let (x, y) = match direction {
                Direction::Right => (x, y),
                Direction::Up => (y, height - 1 - x),
            };
            canvas.set(at.x + x, at.y + y, color);
        }
    }
}

const UNIFONT_HEIGHT: usize = 16;

/// Pixels from one character to the next at scale 1.
fn advance(c: char, latin: bool, style: Type) -> u32 {
    if latin { style.font.character_size.width } else { get_glyph(c).map_or(0, |g| g.get_width() as u32) }
}

fn is_latin(text: &str) -> bool {
    text.chars().all(|c| c <= '\u{ff}')
}

/// Composed, without control characters and invisible ones, every character one that can be drawn.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.nfc() {
        match c {
            _ if c.is_control() => cleaned.push(' '),
            // Joiners, marks of direction, variation selectors: nothing to see.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' => {}
            _ if c <= '\u{ff}' || get_glyph(c).is_some() => cleaned.push(c),
            _ => cleaned.push_str(&format!("[{:X}]", u32::from(c))),
        }
    }
    cleaned
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
        // Twice as wide as a Latin letter, and two blanks.
        let cat = Lettering::new("猫\n\u{7}a", Type::SMALL);
        assert_eq!(cat.size(), Size::new(16 + 3 * 8, 16));
        assert_ne!(cat.ink, Lettering::new("??  a", Type::SMALL).ink);
        assert_eq!(Lettering::new("", Type::SMALL).points().count(), 0);
    }

    #[test]
    fn names_of_every_script_are_drawn_and_told_apart() {
        let names = [
            "浣熊",
            "енот",
            "ラクーン",
            "너구리",
            "ρακούν",
            "راكون",
            "רקון",
            "रैकून",
            "แรคคูน",
            "ջրարջ",
            "ენოტი",
            "ራኩን",
            "→★♥",
        ];
        let drawn: Vec<Vec<Point>> = names.iter().map(|name| Lettering::new(name, Type::SMALL).ink).collect();
        for (i, ink) in drawn.iter().enumerate() {
            assert!(ink.len() > 30, "{}", names[i]);
            assert!(!drawn[..i].contains(ink), "{}", names[i]);
        }
        // Composed and decomposed are one name; what no font has is its number.
        assert_eq!(Lettering::new("e\u{301}", Type::SMALL).ink, Lettering::new("é", Type::SMALL).ink);
        assert_eq!(clean("a\u{1f99d}\u{200d}b"), "a[1F99D]b");
        assert!(!clean("\u{e000}\u{10ffff}\u{378}").contains('?'));
    }

    #[test]
    fn a_wide_text_is_cut_to_the_room_there_is() {
        for width in [0, 7, 15, 16, 31, 40, 63, 64] {
            assert!(Lettering::within("浣熊abc浣熊", Type::SMALL, width).size().width <= width, "{width}");
        }
        assert_eq!(Lettering::within("浣熊", Type::SMALL, 32).ink, Lettering::new("浣熊", Type::SMALL).ink);
    }
}
