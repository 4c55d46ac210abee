//! Fields of a protocol buffer message, written in the order in which they are given.

/// The bytes of a message.
#[derive(Clone, Debug, Default)]
pub struct MessageBytes {
    bytes: Vec<u8>,
}

impl MessageBytes {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    pub fn message(self, field: u32, value: &MessageBytes) -> Self {
        self.bytes(field, &value.bytes)
    }

    /// Repeated doubles, packed.
    pub fn doubles(self, field: u32, values: &[f64]) -> Self {
        let packed: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(field, &packed)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_encoding_guide() {
        // Message { 1: 150 } and { 2: "testing" } of protobuf.dev/programming-guides/encoding.
        assert_eq!(MessageBytes::default().int(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        let text = MessageBytes::default().bytes(2, b"testing");
        assert_eq!(text.as_bytes(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        // Embedded in field 3.
        let outer = MessageBytes::default().message(3, &MessageBytes::default().int(1, 150));
        assert_eq!(outer.as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(MessageBytes::default().int(1, -1).as_bytes().len(), 11);
    }
}
