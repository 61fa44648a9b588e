/** What the engines did since the server began, added up from their reports, over restarts. State: the sums. */

import type { EngineProgress } from '../engine/engine.ts'
import type { FoldAgain } from './fold-again.ts'

/** Upper bounds of the tick histogram, in seconds. */
const BOUNDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

export class EngineMeters {
  /** What the last engine had to fold again when it started. */
  foldAgain: FoldAgain | undefined
  readonly #buckets = BOUNDS.map(() => 0)
  #ticks = 0
  #seconds = 0
  #lastTicks = 0
  #lastTickMs = 0

  get ticks(): number {
    return this.#ticks
  }

  get lastTickMs(): number {
    return this.#lastTickMs
  }

  get seconds(): number {
    return this.#seconds
  }

  /** Cumulative counts by upper bound. */
  buckets(): readonly { readonly le: number; readonly count: number }[] {
    return BOUNDS.map((le, index) => ({ le, count: this.#buckets[index] ?? 0 }))
  }

  /** Takes one report; `ticks` in it counts since that engine's start, and begins again with the next engine. */
  add({ ticks, tickMs }: EngineProgress): void {
    const more = ticks >= this.#lastTicks ? ticks - this.#lastTicks : ticks
    this.#lastTicks = ticks
    if (more === 0) return
    const seconds = tickMs / 1000
    this.#ticks += more
    this.#seconds += seconds * more
    this.#lastTickMs = tickMs
    BOUNDS.forEach((le, index) => {
      if (seconds <= le) this.#buckets[index] = (this.#buckets[index] ?? 0) + more
    })
  }
}
