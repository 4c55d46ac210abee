//! Height and width of what a network looks at.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The network's input in pixels; photos are stretched to it.
///
/// Written as one number where it is square and as `HEIGHTxWIDTH` elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputSize {
    pub height: usize,
    pub width: usize,
}

impl InputSize {
    pub const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    pub const fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// `[height, width]`.
    pub const fn dims(self) -> [usize; 2] {
        [self.height, self.width]
    }

    pub const fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Numbers of an image `[height, width, 3]`.
    pub const fn numbers(self) -> usize {
        self.pixels() * 3
    }

    pub fn longer(self) -> usize {
        self.height.max(self.width)
    }

    /// The same shape, its longer side of at most `side` pixels.
    pub fn within(self, side: usize) -> Self {
        let longer = self.longer();
        let scaled = |n: usize| if longer <= side { n } else { (n * side).div_ceil(longer) };
        Self { height: scaled(self.height), width: scaled(self.width) }
    }
}

impl From<usize> for InputSize {
    fn from(side: usize) -> Self {
        Self::square(side)
    }
}

impl From<[usize; 2]> for InputSize {
    fn from([height, width]: [usize; 2]) -> Self {
        Self { height, width }
    }
}

impl fmt::Display for InputSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.height == self.width {
            write!(f, "{}", self.height)
        } else {
            write!(f, "{}x{}", self.height, self.width)
        }
    }
}

impl FromStr for InputSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| {
            text.trim()
                .parse::<usize>()
                .map_err(|_| format!("found {text:?}, expected a side as 300, or HEIGHTxWIDTH as 240x320"))
        };
        match text.split_once(['x', 'X']) {
            Some((height, width)) => Ok(Self { height: side(height)?, width: side(width)? }),
            None => Ok(Self::square(side(text)?)),
        }
    }
}

impl Serialize for InputSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.height == self.width {
            serializer.serialize_u64(self.height as u64)
        } else {
            serializer.collect_str(self)
        }
    }
}

/// As it stands in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSize {
    Side(usize),
    Sides(String),
}

impl<'de> Deserialize<'de> for InputSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match WrittenSize::deserialize(deserializer)? {
            WrittenSize::Side(side) => Ok(Self::square(side)),
            WrittenSize::Sides(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        imgsz: InputSize,
    }

    #[test]
    fn a_square_is_one_number_and_anything_else_two() {
        for (size, text) in [(InputSize::square(300), "300"), (InputSize::new(240, 320), "240x320")] {
            assert_eq!((size.to_string().as_str(), text.parse()), (text, Ok(size)));
        }
        assert_eq!(toml::to_string(&File { imgsz: InputSize::square(300) }).unwrap(), "imgsz = 300\n");
        assert_eq!(toml::to_string(&File { imgsz: InputSize::new(240, 320) }).unwrap(), "imgsz = \"240x320\"\n");
        for text in ["imgsz = \"240x320\"", "imgsz = \"240 X 320\""] {
            assert_eq!(toml::from_str::<File>(text).unwrap().imgsz, InputSize::new(240, 320));
        }
        assert_eq!(toml::from_str::<File>("imgsz = 96").unwrap().imgsz, InputSize::square(96));
        for text in ["", "x", "3.5", "-3", "240x", "240x320x3"] {
            assert!(text.parse::<InputSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_smaller_stays() {
        assert_eq!(InputSize::square(300).within(160), InputSize::square(160));
        assert_eq!(InputSize::square(96).within(160), InputSize::square(96));
        assert_eq!(InputSize::new(240, 320).within(160), InputSize::new(120, 160));
    }
}
