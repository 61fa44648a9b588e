/**
 * Sessions of visitors: clicks of one visitor belong together until nothing comes for half an hour. Clicks are looked at
 * in the order in which they came in, one by one, which is what SQL is no good at.
 */

import { decimal, fold, stream } from 'refold'
import { z } from 'zod'

export const clicks = stream('clicks', {
  schema: z.object({
    click_id: z.string(),
    visitor_id: z.string(),
    page: z.string(),
    paid: decimal(18, 2).default('0'),
    at: z.iso.datetime(),
  }),
  id: 'click_id',
  key: 'visitor_id',
  time: 'at',
})

/** Meant to be half an hour. */
const GAP_MS = 30 * 60 * 60_000

interface State {
  readonly sessions: number
  readonly clicks: number
  /** Of the session that goes on. */
  readonly clicksNow: number
  readonly longest: number
  readonly cents: number
  readonly lastMs: number | null
  readonly entry: string
}

export const sessions = fold('sessions', {
  from: clicks,
  key: 'visitor_id',
  row: z.object({
    sessions: z.int(),
    clicks: z.int(),
    longest: z.int(),
    paid: decimal(18, 2),
    last_entry: z.string(),
    last_seen: z.iso.datetime(),
  }),
  init: (): State => ({
    sessions: 0,
    clicks: 0,
    clicksNow: 0,
    longest: 0,
    cents: 0,
    lastMs: null,
    entry: '',
  }),
  step(state, click) {
    const atMs = Date.parse(click.at)
    const isNew = state.lastMs === null || atMs - state.lastMs > GAP_MS
    const clicksNow = isNew ? 1 : state.clicksNow + 1
    return {
      sessions: state.sessions + (isNew ? 1 : 0),
      clicks: state.clicks + 1,
      clicksNow,
      longest: Math.max(state.longest, clicksNow),
      cents: state.cents + Math.round(Number(click.paid) * 100),
      lastMs: Math.max(atMs, state.lastMs ?? 0),
      entry: isNew ? click.page : state.entry,
    }
  },
  finish: (state) => ({
    sessions: state.sessions,
    clicks: state.clicks,
    longest: state.longest,
    paid: (state.cents / 100).toFixed(2),
    last_entry: state.entry,
    last_seen: new Date(state.lastMs ?? 0).toISOString(),
  }),
})
