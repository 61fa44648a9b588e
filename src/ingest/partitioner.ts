/**
 * Chooses the partition of a key the way Kafka's default partitioner does: murmur2 over the key's UTF-8 bytes, its
 * sign bit cleared, modulo the number of partitions. So a topic copied from Kafka keeps its partitions. Pure.
 */

/** Partition of a key's text, from 0. */
export function partitionOf(key: string, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions
}

const M = 0x5bd1_e995
const SEED = 0x9747_b28c

/** Kafka's murmur2 over the UTF-8 bytes of a text, as a signed 32-bit number. */
export function murmur2(key: string): number {
  const length = key.length
  let hash = SEED ^ length
  let at = 0
  // ASCII: each character is one byte; the first that is not starts anew with bytes
  for (; at + 4 <= length; at += 4) {
    const a = key.charCodeAt(at)
    const b = key.charCodeAt(at + 1)
    const c = key.charCodeAt(at + 2)
    const d = key.charCodeAt(at + 3)
    if ((a | b | c | d) > 127) return murmur2Bytes(Buffer.from(key))
    hash = mix(hash, a | (b << 8) | (c << 16) | (d << 24))
  }
  let rest = 0
  for (let shift = 0; at < length; at++, shift += 8) {
    const code = key.charCodeAt(at)
    if (code > 127) return murmur2Bytes(Buffer.from(key))
    rest |= code << shift
  }
  return finish(hash, rest, length & 3)
}

/** The same over bytes. */
export function murmur2Bytes(bytes: Uint8Array): number {
  const length = bytes.length
  let hash = SEED ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    hash = mix(hash, bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
  }
  let rest = 0
  for (let shift = 0; at < length; at++, shift += 8) rest |= bytes[at]! << shift
  return finish(hash, rest, length & 3)
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, M)
  k ^= k >>> 24
  return Math.imul(hash, M) ^ Math.imul(k, M)
}

function finish(hash: number, rest: number, restBytes: number): number {
  let h = restBytes === 0 ? hash : Math.imul(hash ^ rest, M)
  h = Math.imul(h ^ (h >>> 13), M)
  return h ^ (h >>> 15)
}
