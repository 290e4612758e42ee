//! Objects of a store: bytes as they are, and sealed, so that the decoder behind the checksum is reached.

/// The bytes, and the bytes under a seal that fits: `NILO`, CRC-32, length.
pub(crate) fn both(bytes: &[u8]) -> [Vec<u8>; 2] {
    let mut sealed = bytes.to_vec();
    sealed.extend_from_slice(b"NILO");
    sealed.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    sealed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    [bytes.to_vec(), sealed]
}
