/** What a new engine has to fold again: the part of the log that no slice of a live view covers. No state. */

import { sealedCut, serving } from '../catalog/versions.ts'
import type { CommitSeq } from '../model/cut.ts'
import type { ServerContext } from './context.ts'

export interface FoldAgain {
  readonly from: CommitSeq
  readonly to: CommitSeq
  /** Accepted events of the range over all streams; null where its beginning is no longer in the hot log. */
  readonly events: number | null
}

export function foldAgain({ catalog, log, history }: ServerContext): FoldAgain {
  const to = log.state().cut.commit
  const sealed = Object.entries(serving(catalog)).map(
    ([view, version]) => sealedCut(catalog, view, version) ?? 0,
  )
  const from = Math.min(to, ...sealed)
  const accepted = (cut: CommitSeq) => {
    const counts = history.at(cut)?.counts
    if (counts === undefined) return null
    return Object.values(counts).reduce((sum, count) => sum + count.accepted, 0)
  }
  const before = from === 0 ? 0 : accepted(from)
  const after = accepted(to)
  return { from, to, events: before === null || after === null ? null : after - before }
}
