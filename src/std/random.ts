/** Randomness as an effect that enters from outside. No state beside the system's own generator. */

import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(count: number): Uint8Array
}

export const systemRandom: Random = { bytes: (count) => randomBytes(count) }

/** 32 lower-case hex digits: the form of a seed. */
export function randomSeed(random: Random = systemRandom): string {
  return Buffer.from(random.bytes(16)).toString('hex')
}
