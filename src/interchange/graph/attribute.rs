//! The attributes of a node.

/// A named attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Text(String),
}

macro_rules! from {
    ($($kind:ty => $variant:ident),*) => {$(
        impl From<$kind> for Attribute {
            fn from(value: $kind) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

from!(i64 => Int, f32 => Float, Vec<i64> => Ints, Vec<f32> => Floats, String => Text);

impl From<&str> for Attribute {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl<const N: usize> From<[i64; N]> for Attribute {
    fn from(value: [i64; N]) -> Self {
        Self::Ints(value.to_vec())
    }
}
