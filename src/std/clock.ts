/**
 * The clock and timers as an effect that enters from outside, so that tests can hold time still or move it.
 * No state beside the system's own clock.
 */

export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch, UTC. */
  nowMs(): number
  /** Monotonic milliseconds with fractions, for measuring durations. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`; the returned function cancels it. Never keeps the process alive. */
  after(delayMs: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
