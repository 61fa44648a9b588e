/**
 * Who in the server reads files of the log and the lake right now. State: the sources that are pinned, each with how
 * many hold it. Whoever deletes files publishes new sources first, then waits here until nobody holds older ones.
 */

import type { LogSources } from '../engine/engine.ts'

interface Pin {
  readonly sources: LogSources
  readonly released: Promise<void>
}

export class SourcePins {
  readonly #current: () => LogSources
  readonly #pins = new Set<Pin>()
  readonly #holds = new Set<Promise<void>>()

  constructor(current: () => LogSources) {
    this.#current = current
  }

  /** The sources of now; their files stay until `release`. */
  pin(): { readonly sources: LogSources; readonly release: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const pin = { sources: this.#current(), released: promise }
    this.#pins.add(pin)
    return {
      sources: pin.sources,
      release: () => {
        this.#pins.delete(pin)
        resolve()
      },
    }
  }

  async with<T>(read: (sources: LogSources) => Promise<T>): Promise<T> {
    const { sources, release } = this.pin()
    try {
      return await read(sources)
    } finally {
      release()
    }
  }

  /** Nothing is deleted from now until `release`, whatever is published: for a backup. */
  hold(): { readonly release: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#holds.add(promise)
    return {
      release: () => {
        this.#holds.delete(promise)
        resolve()
      },
    }
  }

  /** How many hold everything. */
  get held(): number {
    return this.#holds.size
  }

  /** Resolves once everything that was pinned when it was called has been released, and nobody holds everything. */
  async quiesce(): Promise<void> {
    await Promise.all([...this.#pins].map((pin) => pin.released))
    while (this.#holds.size > 0) await Promise.all(this.#holds)
  }
}
