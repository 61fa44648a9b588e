/**
 * Holds a replay to its budget: measures what its worker does and how far live views are behind, and stops the worker
 * or lets it go on. State: the account of the budget, the worker of the moment, and why it stands still.
 *
 * How many events a running fold has done is known only at its end, so in between it is estimated from the pace of
 * the ranges before; the account is put right when the true number comes.
 */

import { measuredBuilds } from '../../catalog/measured-builds.ts'
import { accountAfter, type BudgetAccount, emptyAccount, type Hold, holdOf } from '../../deploy/budget.ts'
import { estimatedDone } from '../../deploy/replay-progress.ts'
import type { ReplayBudget } from '../../deploy/types.ts'
import type { JobOptions } from '../../engine/run-job.ts'
import { type HeldProcess, holdProcess } from '../../std/held-process.ts'
import type { ServerContext } from '../context.ts'
import { liveLagMs } from './live-lag.ts'

const STEP_MS = 20
/** Before anything is measured: events that a worker folds in a second. */
const FIRST_PACE = 500_000
/** Builds of fewer events say more about starting a worker than about folding. */
const MEASURED_FROM = 100_000

export class ReplayControl {
  readonly #context: ServerContext
  readonly #budget: ReplayBudget
  #account: BudgetAccount = emptyAccount
  #hold: Hold | undefined
  #paused = false
  #worker: HeldProcess | undefined
  #standing = false
  #steppedMs: number
  #cancelTimer = () => {}
  /** Of the running range: how long the worker ran, the events charged for it, and how many there can be. */
  #range = { ranMs: 0, charged: 0, most: 0 }
  /** Events a millisecond of a running worker. */
  #pace: number

  constructor(context: ServerContext, budget: ReplayBudget, paused: boolean) {
    this.#context = context
    this.#budget = budget
    this.#paused = paused
    const measured = measuredBuilds(context.catalog, 5).find(({ events }) => events >= MEASURED_FROM)
    this.#pace =
      (measured === undefined ? FIRST_PACE : measured.events / Math.max(0.1, measured.seconds)) / 1000
    this.#steppedMs = context.clock.monotonicMs()
    this.#step()
  }

  get hold(): Hold | undefined {
    return this.#hold
  }

  /** Events of the running range that are done, as far as can be told. */
  get estimated(): number {
    return Math.floor(estimatedDone(this.#range.ranMs * this.#pace, this.#range.most))
  }

  pause(): void {
    this.#paused = true
    this.#step()
  }

  resume(): void {
    this.#paused = false
    this.#step()
  }

  /** Resolves when a range may begin. */
  async ready(signal: AbortSignal): Promise<void> {
    while (this.#hold !== undefined && !signal.aborted && !this.#context.closing()) {
      await new Promise<void>((resolve) => void this.#context.clock.after(STEP_MS, resolve))
    }
  }

  /** For a fold of about so many events. */
  jobOptions(events: number): Pick<JobOptions, 'onStart'> {
    this.#range = { ranMs: 0, charged: 0, most: events }
    return {
      onStart: (pid, kill) => {
        this.#worker = holdProcess(pid, kill)
        this.#step()
      },
    }
  }

  /** The range is done, or its worker is gone. Answers how long it ran, without the time it stood still. */
  ended(events: number | undefined): number {
    this.#step()
    this.#worker?.release()
    this.#worker = undefined
    this.#standing = false
    const { ranMs, charged } = this.#range
    if (events !== undefined) {
      if (ranMs > 0 && events > 0) this.#pace = events / ranMs
      this.#charge(0, 0, events - charged)
    }
    this.#range = { ranMs: 0, charged: 0, most: 0 }
    return ranMs
  }

  close(): void {
    this.#cancelTimer()
    this.#cancelTimer = () => {}
    this.#worker?.release()
    this.#worker = undefined
  }

  #charge(elapsedMs: number, ranMs: number, events: number): void {
    this.#account = accountAfter(this.#budget, this.#account, { elapsedMs, ranMs, events })
  }

  #step(): void {
    this.#cancelTimer()
    const now = this.#context.clock.monotonicMs()
    const elapsedMs = now - this.#steppedMs
    this.#steppedMs = now
    const ranMs = this.#worker === undefined || this.#standing ? 0 : elapsedMs
    const range = this.#range
    const events = Math.min(ranMs * this.#pace, Math.max(0, range.most - range.charged))
    this.#range = { ...range, ranMs: range.ranMs + ranMs, charged: range.charged + events }
    this.#charge(elapsedMs, ranMs, events)
    const hold = holdOf(this.#budget, this.#account, liveLagMs(this.#context), this.#hold)
    this.#hold = this.#paused ? 'paused' : hold
    if (this.#worker !== undefined) {
      if (this.#hold !== undefined) this.#standing = this.#worker.stop()
      else {
        this.#worker.go()
        this.#standing = false
      }
    }
    this.#cancelTimer = this.#context.clock.after(STEP_MS, () => this.#step())
  }
}
