/** A clock for tests: time stands until it is moved, and timers run as it passes them. State: the time and the timers. */

import type { Clock } from './clock.ts'

export class ManualClock implements Clock {
  #nowMs: number
  #timers: { readonly atMs: number; readonly callback: () => void }[] = []

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves time on, and runs what is due on the way. */
  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs).sort((a, b) => a.atMs - b.atMs)
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs)
    for (const { callback } of due) callback()
  }

  /** Puts the wall clock back or forth without running timers, as an administrator does. */
  set(nowMs: number): void {
    this.#nowMs = nowMs
  }
}
