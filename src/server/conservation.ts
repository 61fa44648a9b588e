/**
 * The account of every event, per stream and view: received = accepted + duplicate + rejected, and accepted = folded
 * + held + skipped + pending. Counts come from the log's own frames, so they survive restarts; the rest is where each
 * view stands. No state.
 *
 * Held are, of a view that holds late events back, those that came after its last batch: the log counts late events as
 * it does the others, so their number is a difference of two of its counts.
 */

import { holdsLate, lateStand } from '../catalog/late-cuts.ts'
import { allSkipped } from '../catalog/skipped.ts'
import { readVersion, serving } from '../catalog/versions.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import type { ServerContext } from './context.ts'

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
    return readers.map(({ view, version, sealed, plan }) => {
      const cut = supervisor.viewProgress(view, version)?.cut ?? sealed
      const covered = history.at(cut)?.counts[stream]?.accepted ?? 0
      const left = skipped.filter(
        (row) => row.view === view && row.version === version && row.stream === stream && row.commit <= cut,
      ).length
      const held = holdsLate(plan) ? heldBack(context, { view, version, stream, cut }) : 0
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

/** Late events after the version's T, up to where it stands. */
function heldBack(
  { catalog, history }: ServerContext,
  at: {
    readonly view: string
    readonly version: VersionId
    readonly stream: string
    readonly cut: CommitSeq
  },
): number {
  const { cut, counts } = lateStand(catalog, at.view, at.version)
  if (at.cut <= cut) return 0
  return (history.at(at.cut)?.late?.[at.stream] ?? 0) - (counts[at.stream] ?? 0)
}
