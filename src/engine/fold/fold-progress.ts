/**
 * Where the functions of a fold are, written by their thread before each call and read by the one that watches it.
 * State: a few numbers in shared memory.
 */

export const phases = { idle: 0, init: 1, step: 2, finish: 3, merge: 4, load: 5 } as const

export type Phase = keyof typeof phases

export interface Progress {
  enter(phase: number, commit: number, index: number): void
  leave(): void
}

export interface Watched {
  /** Grows with every call. */
  readonly calls: number
  readonly phase: Phase
  readonly commit: number
  readonly index: number
}

export const PROGRESS_BYTES = 32

export function progressWriter(shared: SharedArrayBuffer): Progress {
  const words = new Int32Array(shared, 0, 2)
  const place = new Float64Array(shared, 8, 2)
  return {
    enter(phase, commit, index) {
      words[1] = phase
      place[0] = commit
      place[1] = index
      words[0] = ((words[0] ?? 0) + 1) | 0
    },
    leave() {
      words[1] = phases.idle
      words[0] = ((words[0] ?? 0) + 1) | 0
    },
  }
}

const names = Object.keys(phases) as Phase[]

export function progressReader(shared: SharedArrayBuffer): () => Watched {
  const words = new Int32Array(shared, 0, 2)
  const place = new Float64Array(shared, 8, 2)
  return () => ({
    calls: Atomics.load(words, 0),
    phase: names[Atomics.load(words, 1)] ?? 'idle',
    commit: place[0] ?? 0,
    index: place[1] ?? 0,
  })
}
