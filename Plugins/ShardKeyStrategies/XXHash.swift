internal import CHash

/// XXH3 of some bytes, 64 bits.
func xxh3(_ bytes: UnsafeRawBufferPointer) -> UInt64 { chash_xxh3_64(bytes.baseAddress, bytes.count) }
