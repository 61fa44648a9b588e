/**
 * Folds batches of events by a fold's thread, and finds the events that it cannot fold. State: the thread, and the
 * events on which it died.
 *
 * An event over which the thread died is tried a second time, because memory is used up by all states together and a
 * machine may be slow for a moment; the second death puts it among the failures. Each death costs everything since the
 * last commit, which the caller does again (`FoldAgain`).
 */

import { RefoldError } from '../../model/errors.ts'
import type { EventBatch } from './event-batch.ts'
import type { FoldFailure, Stepped } from './fold-protocol.ts'
import { FoldThread, FoldThreadDied, type FoldThreadStart } from './fold-thread-runner.ts'

/** Everything since the last commit is to be done again, with a new thread. */
export class FoldAgain extends Error {
  override readonly name = 'FoldAgain'
}

export type Key = readonly unknown[]

/** The states of these keys: the text of a JSON array's elements, `[…key, state]`. */
/** All events of these keys since the last commit. */
export type Again = (keys: readonly Key[]) => Promise<EventBatch | undefined>

export type Lookup = (keys: readonly Key[]) => Promise<string>

export class CodeFolder {
  readonly #thread: FoldThread
  readonly #start: FoldThreadStart
  /** Events over which a thread died once. */
  readonly #suspects = new Set<string>()
  /** Events over which threads died twice: they are left out. */
  readonly #limited = new Map<string, FoldFailure>()
  #failures: FoldFailure[] = []

  constructor(start: FoldThreadStart) {
    this.#start = start
    this.#thread = new FoldThread(start)
  }

  /** Gives the states of all keys that have one: the thread need not ask for any. */
  giveAll(states: string): Promise<unknown> {
    return this.#guarded(() => this.#thread.call('giveAll', states))
  }

  /** Steps through a batch. */
  async step(events: EventBatch, lookup: Lookup): Promise<Stepped> {
    return await this.#guarded(async () => {
      const missing = await this.#thread.call('begin', events)
      if (missing.length > 0) await this.#thread.call('give', await lookup(missing))
      return await this.#thread.call('run', [...this.#limited.keys()])
    })
  }

  /**
   * Writes the partial rows since the last commit. Where a function failed, the events of these keys are stepped again;
   * `again` gives them when there were several batches.
   */
  async flush(file: string, again?: Again): Promise<number> {
    return await this.#guarded(async () => {
      for (;;) {
        const flushed = await this.#thread.call('flush', { file })
        if ('rows' in flushed) return flushed.rows
        await this.#redo(flushed.failed, again)
      }
    })
  }

  async redo(keys: readonly Key[], again?: Again): Promise<void> {
    if (keys.length > 0) await this.#guarded(() => this.#redo(keys, again))
  }

  async #redo(keys: readonly Key[], again: Again | undefined): Promise<void> {
    const skipped = [...this.#limited.keys()]
    const events = again === undefined ? undefined : await again(keys)
    const more = events === undefined ? {} : { events }
    const failures = await this.#thread.call('redo', { skipped, ...more })
    this.#failures.push(...failures)
  }

  /** The events in (from, to] that were left out since the last commit, in the order of the log. */
  failures(from: number, to: number): readonly FoldFailure[] {
    const limited = [...this.#limited.values()].filter(({ commit }) => commit > from && commit <= to)
    return [...this.#failures, ...limited].sort((a, b) => a.commit - b.commit || a.index - b.index)
  }

  async commit(): Promise<void> {
    this.#failures = []
    this.#limited.clear()
    await this.#guarded(() => this.#thread.call('commit', null)).catch((error: unknown) => {
      // What was committed is durable; another thread asks for the states.
      if (!(error instanceof FoldAgain)) throw error
    })
  }

  /** What was done since the last commit is not durable. */
  async abort(): Promise<void> {
    this.#failures = []
    await this.#thread.call('abort', null).catch(() => {})
  }

  stop(): Promise<void> {
    return this.#thread.stop()
  }

  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof FoldThreadDied)) throw error
      this.#failures = []
      this.#blame(error)
      throw new FoldAgain(error.message)
    }
  }

  #blame({ at, reason, message }: FoldThreadDied): void {
    const { commit, index, phase } = at
    if (phase === 'idle' || commit === 0) {
      // Parsing and writing are ours: without an event to blame, trying again would not end.
      if (this.#suspects.has('')) throw this.#memory(message)
      this.#suspects.add('')
      return
    }
    const position = `${commit}:${index}`
    if (!this.#suspects.has(position)) {
      this.#suspects.add(position)
      return
    }
    const limit =
      reason === 'memory'
        ? `wants more than ${Math.ceil(this.#start.memoryBytes / 1e6)} MB`
        : reason === 'time'
          ? `takes longer than ${this.#start.stepMs} ms`
          : `ended its thread: ${message}`
    const what = `\`${phase}\` ${limit}`
    this.#limited.set(position, { commit, index, message: what, code: 'EVENT_STEP_LIMIT' })
  }

  #memory(message: string): RefoldError {
    return new RefoldError('ENGINE_MEMORY', `the fold of view "${this.#start.view}" ended: ${message}`)
  }
}
