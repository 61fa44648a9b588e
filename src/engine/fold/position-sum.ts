/**
 * How many events were folded into a key, the sum modulo 2 of the hashes of their positions (`plan/fold-source.ts`),
 * and the last of them. State: these, until they are cleared.
 *
 * The hash is an integer of 64 bits; it is kept in two halves, because arithmetic on bigint costs more than a step.
 */

const HALF = 2 ** 32

export class PositionSum {
  count = 0
  lastCommit = 0
  lastIndex = 0
  #high = 0
  #low = 0

  add(commit: number, index: number): void {
    if (commit !== known.commit) remember(commit)
    const spread = index * 7919
    this.#low ^= known.low ^ (spread % HALF)
    this.#high ^= known.high ^ (spread / HALF)
    this.count++
    this.lastCommit = commit
    this.lastIndex = index
  }

  clear(): void {
    this.count = 0
    this.#high = 0
    this.#low = 0
  }

  /** Members of a JSON object. */
  json(): string {
    return `"events":${this.count},"positions":${this.#text()},"at":${this.lastCommit}`
  }

  #text(): string {
    if (this.#high === 0) return String(this.#low >>> 0)
    return String((BigInt(this.#high) << 32n) | BigInt(this.#low >>> 0))
  }
}

/** Neighbouring events are of one commit. */
const known = { commit: -1, high: 0, low: 0 }

function remember(commit: number): void {
  const product = BigInt(commit) * 4194319n
  known.commit = commit
  known.low = Number(BigInt.asIntN(32, product))
  known.high = Number(BigInt.asIntN(32, product >> 32n))
}
