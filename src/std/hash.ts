/**
 * Keyed hashes for tables in memory and on disk, on 32-bit words. Pure functions.
 *
 * `hashText128` keeps all 128 bits of a SipHash-like state (HalfSipHash's round, once for each word and four times
 * at the end): two different texts among 100 million meet with a chance below 1e-22, and who does not know the key
 * can not make them meet. `hashBytes64` is quicker and weaker: it tells an accidental change of a content apart.
 */

import { crc32 } from 'node:zlib'

/** Four words of key from a seed (32 hex digits) and a purpose, so that each use of a seed has its own key. */
export function hashKey(seed: string, purpose: string): Int32Array {
  if (!/^[0-9a-f]{32}$/.test(seed)) throw new TypeError('a seed is 32 lower-case hex digits')
  const words = new Int32Array(4)
  for (let i = 0; i < 4; i++) words[i] = Number.parseInt(seed.slice(8 * i, 8 * i + 8), 16)
  const key = new Int32Array(4)
  hashText128(words, purpose, key, 0)
  return key
}

/** A short check of a seed, to tell data that was made with another one. */
export function seedCheck(seed: string): number {
  return crc32(hashKey(seed, 'check'))
}

/** Writes the four words of the text's hash to `out` from `at` on. */
export function hashText128(key: Int32Array, text: string, out: Int32Array, at: number): void {
  let v0 = key[0]! | 0
  let v1 = key[1]! | 0
  let v2 = key[2]! ^ 0x6c796765
  let v3 = key[3]! ^ 0x74656462
  const length = text.length
  let position = 0
  let word = 0
  // Blocks: four units below 256 in one word; else two words, told apart by a change of v1; the last word is the
  // length. `rounds` counts down the final rounds, so that the round stands here once and stays inlined.
  for (let rounds = 5; rounds > 0; ) {
    if (position < length) {
      const a = text.charCodeAt(position)
      const b = position + 1 < length ? text.charCodeAt(position + 1) : 0
      const c = position + 2 < length ? text.charCodeAt(position + 2) : 0
      const d = position + 3 < length ? text.charCodeAt(position + 3) : 0
      if ((a | b | c | d) < 256) {
        word = a | (b << 8) | (c << 16) | (d << 24)
        position += 4
      } else {
        v1 ^= 0xa5
        word = a | (b << 16)
        position += 2
      }
    } else {
      word = rounds === 5 ? length : 0
      if (rounds === 4) v2 ^= 0xff
      rounds--
    }
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  out[at] = v0
  out[at + 1] = v1
  out[at + 2] = v2
  out[at + 3] = v3
}

/** Writes the two words of the hash of the bytes [start, end) to `out` from `at` on. */
export function hashBytes64(
  key: Int32Array,
  view: DataView,
  start: number,
  end: number,
  out: Int32Array,
  at: number,
): void {
  // Every word goes into both halves in different ways, so that no change of two words cancels out in both.
  const keyed = 0xcc9e2d51 ^ (key[2]! & 0xfffe)
  let a = key[0]! ^ (end - start)
  let b = key[1]! | 0
  let position = start
  for (; position + 4 <= end; position += 4) {
    const word = view.getInt32(position, true)
    a = Math.imul(a ^ word, keyed)
    a ^= a >>> 15
    b = Math.imul(b + word, 0x1b873593)
    b = ((b << 13) | (b >>> 19)) ^ a
  }
  for (; position < end; position++) {
    const byte = view.getUint8(position)
    a = Math.imul(a ^ byte, keyed)
    a ^= a >>> 15
    b = Math.imul(b + byte, 0x1b873593)
    b = ((b << 13) | (b >>> 19)) ^ a
  }
  a = mix(a ^ key[2]!)
  b = mix(b ^ key[3]! ^ a)
  out[at] = mix(a + b)
  out[at + 1] = b
}

function mix(value: number): number {
  let word = value | 0
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35)
  return word ^ (word >>> 16)
}
