/**
 * When a replay has to stand still: it keeps to so many events a second and to a share of one worker's time, and
 * makes way while a live view is behind. Pure functions over an account of what may be spent; who measures and who
 * stops the worker is `server/deploys/`.
 *
 * Why it holds on average: what is spent beyond the account is a debt that is paid before anything else is folded,
 * and what was not spent is forgotten after a moment, so no burst follows a rest.
 */

import { FOLD_EVENTS } from '../run/kappa.ts'
import type { ReplayBudget } from './types.ts'

/** What may be spent now; below zero the replay waits. */
export interface BudgetAccount {
  readonly workerMs: number
  readonly events: number
}

export interface ReplayStep {
  /** Since the last step. */
  readonly elapsedMs: number
  /** Of it the worker ran so long, */
  readonly ranMs: number
  /** and folded so many events, as far as is known. */
  readonly events: number
}

export type Hold = 'budget' | 'lag' | 'paused'

export const emptyAccount: BudgetAccount = { workerMs: 0, events: 0 }

/** Unspent time and events are kept for this long. */
const CARRY_MS = 250
/** Held for a lag, a replay goes on when the lag has come down to this share of the limit. */
const LAG_RELEASE = 0.5

export function accountAfter(
  budget: ReplayBudget,
  account: BudgetAccount,
  { elapsedMs, ranMs, events }: ReplayStep,
): BudgetAccount {
  const share = budget.cpuShare ?? 1
  const perMs = (budget.eventsPerSecond ?? 0) / 1000
  return {
    workerMs: Math.min(account.workerMs + elapsedMs * share - ranMs, CARRY_MS * share),
    events: Math.min(account.events + elapsedMs * perMs - events, CARRY_MS * perMs),
  }
}

/** Why the replay stands still now, if it does. */
export function holdOf(
  budget: ReplayBudget,
  account: BudgetAccount,
  lagMs: number,
  before: Hold | undefined,
): 'budget' | 'lag' | undefined {
  if (budget.lagMs !== undefined) {
    const limit = before === 'lag' ? budget.lagMs * LAG_RELEASE : budget.lagMs
    if (lagMs > limit) return 'lag'
  }
  if (budget.cpuShare !== undefined && account.workerMs < 0) return 'budget'
  if (budget.eventsPerSecond !== undefined && account.events < 0) return 'budget'
  return undefined
}

const RANGE_EVENTS_MIN = 100_000
const RANGE_SECONDS = 5
const SHARED_RANGE_EVENTS = 4_000_000

/** How many events are folded in one go: with a budget fewer, so that it is kept to evenly and a crash costs little. */
export function rangeEventsMax(budget: ReplayBudget): number {
  const { eventsPerSecond, cpuShare } = budget
  if (eventsPerSecond !== undefined) {
    return Math.min(FOLD_EVENTS, Math.max(RANGE_EVENTS_MIN, eventsPerSecond * RANGE_SECONDS))
  }
  return cpuShare === undefined ? FOLD_EVENTS : SHARED_RANGE_EVENTS
}
