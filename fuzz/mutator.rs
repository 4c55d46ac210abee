//! Seeded mutations of sound inputs: what a fuzzer does without its feedback, so that ordinary tests can do it for a second
//! or two. Text has its numbers and its lines changed, too, and files with checksums have them made right again.

use fieldtune::data::masked_crc32c;
use serde_json::Value;

/// xorshift64* (Vigna 2016): a generator fixed by its definition.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`, which is more than 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Numbers at the borders of their types, and what is no number.
const NUMBERS: [&str; 20] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
    "-1e308",
    "1e-300",
    "nan",
    "inf",
    "1e999",
    "0.5",
    "null",
];

/// Words that the formats give a meaning to.
const WORDS: [&str; 30] = [
    "<object>",
    "</object>",
    "<bndbox>",
    "&amp;",
    "<!DOCTYPE a [<!ENTITY b \"bb\">]>",
    "&b;",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    ",",
    ":",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{feff}",
    "\u{1b}[2J",
    "../",
    "/",
    "names:",
    "path: /",
    "&a [*a, *a]",
    "true",
    "null",
    "\u{202e}",
    "BACKGROUND",
    "ä",
];

const LONGEST: usize = 1 << 20;

/// Changes `bytes` in one to six places; `other` is another sound input to take parts from.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..1 + dice.below(6) {
        change(bytes, other, dice);
    }
    bytes.truncate(LONGEST);
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let inside = at.min(bytes.len().saturating_sub(1));
    let len = [1, 2, 4, 8, 64, 512][dice.below(6)].min(bytes.len() - at);
    match dice.below(11) {
        _ if bytes.is_empty() => bytes.extend_from_slice(other),
        0 => bytes[inside] ^= 1 << dice.below(8),
        1 => bytes[inside] = *dice.of(&[0, 1, 0x7F, 0x80, 0xFF, b'0', b'-', b'\n']),
        2 => drop(bytes.drain(at..at + len)),
        3 => {
            let part = bytes[at..at + len].to_vec();
            let to = dice.below(bytes.len() + 1);
            (0..1 + dice.below(4)).for_each(|_| drop(bytes.splice(to..to, part.iter().copied())));
        }
        4 => drop(bytes.splice(at..at, dice.of(&WORDS).bytes())),
        5 => {
            let from = dice.below(other.len() + 1);
            let part = &other[from..(from + 1 + dice.below(400)).min(other.len())];
            drop(bytes.splice(at..at + len, part.iter().copied()));
        }
        6 => bytes.truncate(at),
        7 => {
            // A little-endian number at a border of its type.
            let width = 1 << dice.below(4);
            let value =
                *dice.of(&[0u64, 1, u64::MAX, 1 << 31, u64::MAX >> 1, 0x7FC0_0000, 0x7FF0_0000_0000_0000, 1 << 40]);
            if at + width <= bytes.len() {
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
        }
        8 => lines(bytes, dice),
        _ => number(bytes, at, dice),
    }
}

/// Puts another number in the place of the one in the text at or after `at`.
fn number(bytes: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let is_part = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+');
    let Some(begin) = bytes[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else { return };
    let len = bytes[begin..].iter().position(|b| !is_part(b)).unwrap_or(bytes.len() - begin);
    drop(bytes.splice(begin..begin + len, dice.of(&NUMBERS).bytes()));
}

/// Repeats, swaps or drops a line.
fn lines(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut all: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let (a, b) = (dice.below(all.len()), dice.below(all.len()));
    match dice.below(3) {
        0 => {
            let line = all[a].clone();
            (0..1 + dice.below(20)).for_each(|_| all.insert(b, line.clone()));
        }
        1 => all.swap(a, b),
        _ => drop(all.remove(a)),
    }
    *bytes = all.concat();
}

/// As [`mutate`], of the header of a checkpoint, whose checksum is right again afterwards.
pub fn mutate_checkpoint(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    if dice.below(4) == 0 {
        return mutate(bytes, other, dice);
    }
    let Some((mut json, data)) = parts(bytes) else { return mutate(bytes, other, dice) };
    let header = json["__metadata__"]["fieldtune"].as_str().unwrap_or_default();
    let mut toml = header.split_once('\n').map_or(Vec::new(), |(_, toml)| toml.as_bytes().to_vec());
    let whole = toml.clone();
    mutate(&mut toml, &whole, dice);
    let toml = String::from_utf8_lossy(&toml).into_owned();
    json["__metadata__"]["fieldtune"] = format!("{:08x}\n{toml}", crc32fast::hash(toml.as_bytes())).into();
    let text = json.to_string();
    *bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat();
}

/// The header of a safetensors file and what follows it.
fn parts(bytes: &[u8]) -> Option<(Value, Vec<u8>)> {
    let len = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
    let json: Value = serde_json::from_slice(bytes.get(8..8usize.checked_add(len)?)?).ok()?;
    Some((json, bytes[8 + len..].to_vec())).filter(|(json, _)| json["__metadata__"]["fieldtune"].is_string())
}

/// As [`mutate`], of a pack's index, whose checksum and footer are right again afterwards.
pub fn mutate_pack(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const FOOTER: usize = 40;
    let index = bytes.len().checked_sub(FOOTER).and_then(|footer| {
        let field = |at: usize| bytes[footer + at..][..8].try_into().map(u64::from_le_bytes).ok();
        Some((usize::try_from(field(0)?).ok()?, footer)).filter(|(begin, end)| begin < end)
    });
    let Some((begin, footer)) = index.filter(|_| dice.below(4) > 0) else { return mutate(bytes, other, dice) };
    let (mut index, mut end) = (bytes[begin..footer].to_vec(), bytes[footer..].to_vec());
    let whole = index.clone();
    mutate(&mut index, &whole, dice);
    end[8..16].copy_from_slice(&(index.len() as u64).to_le_bytes());
    end[24..28].copy_from_slice(&crc32fast::hash(&index).to_le_bytes());
    if dice.below(8) == 0 {
        let at = dice.below(24);
        end[at] ^= 1 << dice.below(8);
    }
    let sum = crc32fast::hash(&end[..32]);
    end[32..36].copy_from_slice(&sum.to_le_bytes());
    bytes.truncate(begin);
    bytes.extend(index);
    bytes.extend(end);
    let len = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..24]);
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
}

/// A record with its length and both checksums, as a record file has it.
pub fn framed(record: &[u8]) -> Vec<u8> {
    let len = (record.len() as u64).to_le_bytes();
    let sums = [masked_crc32c(&len), masked_crc32c(record)].map(u32::to_le_bytes);
    [&len[..], &sums[0], record, &sums[1]].concat()
}

/// As [`mutate`], of the first record of a record file, whose checksums are right again afterwards.
pub fn mutate_record(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let record = bytes.get(12..bytes.len().saturating_sub(4)).filter(|_| dice.below(4) > 0);
    let Some(record) = record else { return mutate(bytes, other, dice) };
    let mut changed = record.to_vec();
    mutate(&mut changed, record, dice);
    *bytes = framed(&changed);
}
