//! The pickle operations that PyTorch's own writer uses for a dict of tensors (protocols 2 to 5), and no other.
//!
//! Source: the table of operations in Python's `pickletools` module.

/// One operation with what follows it in the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opcode<'a> {
    /// PROTO, FRAME: nothing to do.
    Frame,
    Stop,
    Mark,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    EmptyDict,
    EmptyList,
    EmptyTuple,
    /// A tuple of as many values from the top of the stack.
    Tuple(usize),
    /// A tuple of all values above the mark.
    TupleOfMarked,
    SetItem,
    SetItems,
    Append,
    Appends,
    /// A class or function by module and name.
    Global(&'a str, &'a str),
    /// The same, names from the stack.
    StackGlobal,
    /// A storage by the identification on the stack.
    PersistentId,
    /// Calls what stands below the arguments on the stack.
    Reduce,
    /// Sets the attributes of an object.
    Build,
    /// Keeps the top of the stack under a number; under the next free one where that is left out.
    Memoize(Option<usize>),
    Recall(usize),
}

/// The reason that the stream cannot be read on.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    Ends,
    Unknown(u8),
    /// Bytes that are no text or no number.
    Malformed,
}

/// Takes the next operation off the front of `bytes`.
///
/// # Errors
/// If the stream ends inside one, or it is of another kind.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Result<Opcode<'a>, Trouble> {
    let [code] = chunk(bytes)?;
    Ok(match code {
        0x80 => {
            let [_protocol] = chunk(bytes)?;
            Opcode::Frame
        }
        0x95 => {
            let _: [u8; 8] = chunk(bytes)?;
            Opcode::Frame
        }
        b'.' => Opcode::Stop,
        b'(' => Opcode::Mark,
        b'N' => Opcode::None,
        0x88 => Opcode::Bool(true),
        0x89 => Opcode::Bool(false),
        b'K' => Opcode::Int(chunk(bytes).map(|[n]: [u8; 1]| i64::from(n))?),
        b'M' => Opcode::Int(i64::from(u16::from_le_bytes(chunk(bytes)?))),
        b'J' => Opcode::Int(i64::from(i32::from_le_bytes(chunk(bytes)?))),
        0x8a => Opcode::Int(long(bytes)?),
        b'G' => Opcode::Float(f64::from_be_bytes(chunk(bytes)?)),
        b'X' => {
            let length = u32::from_le_bytes(chunk(bytes)?) as usize;
            Opcode::Text(text(take(bytes, length)?)?)
        }
        0x8c => {
            let [length] = chunk(bytes)?;
            Opcode::Text(text(take(bytes, usize::from(length))?)?)
        }
        b'U' => {
            let [length] = chunk(bytes)?;
            Opcode::Text(text(take(bytes, usize::from(length))?)?)
        }
        b'}' => Opcode::EmptyDict,
        b']' => Opcode::EmptyList,
        b')' => Opcode::EmptyTuple,
        0x85 => Opcode::Tuple(1),
        0x86 => Opcode::Tuple(2),
        0x87 => Opcode::Tuple(3),
        b't' => Opcode::TupleOfMarked,
        b's' => Opcode::SetItem,
        b'u' => Opcode::SetItems,
        b'a' => Opcode::Append,
        b'e' => Opcode::Appends,
        b'c' => Opcode::Global(line(bytes)?, line(bytes)?),
        0x93 => Opcode::StackGlobal,
        b'Q' => Opcode::PersistentId,
        b'R' => Opcode::Reduce,
        b'b' => Opcode::Build,
        b'q' => Opcode::Memoize(Some(chunk(bytes).map(|[n]: [u8; 1]| usize::from(n))?)),
        b'r' => Opcode::Memoize(Some(u32::from_le_bytes(chunk(bytes)?) as usize)),
        0x94 => Opcode::Memoize(None),
        b'h' => Opcode::Recall(chunk(bytes).map(|[n]: [u8; 1]| usize::from(n))?),
        b'j' => Opcode::Recall(u32::from_le_bytes(chunk(bytes)?) as usize),
        other => return Err(Trouble::Unknown(other)),
    })
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Trouble> {
    let (head, rest) = bytes.split_at_checked(length).ok_or(Trouble::Ends)?;
    *bytes = rest;
    Ok(head)
}

fn chunk<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Trouble> {
    let (head, rest) = bytes.split_first_chunk::<N>().ok_or(Trouble::Ends)?;
    *bytes = rest;
    Ok(*head)
}

fn text(bytes: &[u8]) -> Result<&str, Trouble> {
    std::str::from_utf8(bytes).map_err(|_| Trouble::Malformed)
}

/// A name up to the end of its line.
fn line<'a>(bytes: &mut &'a [u8]) -> Result<&'a str, Trouble> {
    let end = bytes.iter().position(|&b| b == b'\n').ok_or(Trouble::Ends)?;
    let name = text(take(bytes, end)?)?;
    take(bytes, 1)?;
    Ok(name)
}

/// An integer of as many bytes as its first byte says, little-endian two's complement; eight at most.
fn long(bytes: &mut &[u8]) -> Result<i64, Trouble> {
    let [length] = chunk(bytes)?;
    let digits = take(bytes, usize::from(length))?;
    if digits.len() > 8 {
        return Err(Trouble::Malformed);
    }
    let negative = digits.last().is_some_and(|&b| b >= 0x80);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all[..digits.len()].copy_from_slice(digits);
    Ok(i64::from_le_bytes(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Result<Vec<Opcode<'_>>, Trouble> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            found.push(next(&mut bytes)?);
        }
        Ok(found)
    }

    #[test]
    fn a_stream_is_read_operation_by_operation() {
        let stream = b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x07M\x01\x01J\xff\xff\xff\xff\x8a\x02\x00\x80ccollections\nOrderedDict\n.";
        let found = all(stream).unwrap();
        let expected = [
            Opcode::Frame,
            Opcode::EmptyDict,
            Opcode::Memoize(Some(0)),
            Opcode::Text("a"),
            Opcode::Int(7),
            Opcode::Int(257),
            Opcode::Int(-1),
            Opcode::Int(-32768),
            Opcode::Global("collections", "OrderedDict"),
            Opcode::Stop,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn lengths_beyond_the_stream_and_other_operations_are_refused() {
        assert_eq!(all(b"X\xff\xff\xff\xffab"), Err(Trouble::Ends));
        assert_eq!(all(b"X\x02\x00\x00\x00\xff\xfe"), Err(Trouble::Malformed));
        assert_eq!(all(b"\x8a\x09123456789"), Err(Trouble::Malformed));
        assert_eq!(all(b"cos\nsystem"), Err(Trouble::Ends));
        assert_eq!(all(b"i"), Err(Trouble::Unknown(b'i')));
        assert_eq!(all(b"J\x00"), Err(Trouble::Ends));
    }
}
