/**
 * The account of every event, per stream and view: received = accepted + duplicate + rejected, and accepted = folded
 * + held + skipped + pending. Counts come from the log's own frames, so they survive restarts; the rest is where each
 * view stands. No state.
 *
 * Held are, of a view that holds late events back, those that came after its last batch: the log counts late events as
 * it does the others, so their number is a difference of two of its counts.
 */

import { holdsLate } from '../catalog/late-cuts.ts'
import { allSkipped } from '../catalog/skipped.ts'
import { readVersion, serving } from '../catalog/versions.ts'
import type { ServerContext } from './context.ts'
import { heldBack } from './late/held-back.ts'

export interface ConservationRow {
  readonly stream: string
  readonly view: string | null
  readonly received: number
  readonly accepted: number
  readonly duplicate: number
  readonly rejected: number
  readonly folded: number | null
  readonly pending: number | null
  readonly skipped: number | null
  readonly held: number | null
}

/** One row for each stream and live view that reads it; a stream that no view reads has one without a view. */
export function conservation(context: ServerContext): readonly ConservationRow[] {
  const { catalog, log, supervisor, history } = context
  const counts = log.state().counts
  const live = Object.entries(serving(catalog)).flatMap(([view, version]) => {
    const row = readVersion(catalog, view, version)
    return row === undefined ? [] : [row]
  })
  const skipped = allSkipped(catalog)
  return context.streams().flatMap(({ name: stream }): ConservationRow[] => {
    const { accepted = 0, duplicate = 0, rejected = 0 } = counts[stream] ?? {}
    const total = { stream, received: accepted + duplicate + rejected, accepted, duplicate, rejected }
    const readers = live.filter((row) => row.plan.streams.includes(stream))
    if (readers.length === 0) {
      return [{ ...total, view: null, folded: null, pending: null, skipped: null, held: null }]
    }
    return readers.map((row) => {
      const { view, version, sealed } = row
      const cut = supervisor.viewProgress(view, version)?.cut ?? sealed
      const covered = history.at(cut)?.counts[stream]?.accepted ?? 0
      const left = skipped.filter(
        (row) => row.view === view && row.version === version && row.stream === stream && row.commit <= cut,
      ).length
      const held = holdsLate(row.plan) ? heldBack(context, row, cut) : 0
      return {
        ...total,
        view,
        folded: covered - left - held,
        pending: accepted - covered,
        skipped: left,
        held,
      }
    })
  })
}
