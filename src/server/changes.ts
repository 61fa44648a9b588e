/**
 * A view's changes as a stream of deltas that join: each begins at the cut where the last ended. No state beside the
 * cut of the loop. Without a starting cut the first delta inserts every row of the view.
 */

import { serving } from '../catalog/versions.ts'
import type { Delta } from '../engine/engine.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { ServerContext } from './context.ts'

export interface ChangesOptions {
  readonly from?: CommitSeq
  readonly follow: boolean
  readonly signal?: AbortSignal
}

const READ_MS = 60_000

export async function* viewChanges(
  context: ServerContext,
  view: string,
  options: ChangesOptions,
): AsyncGenerator<Delta & { readonly version: VersionId }> {
  const { catalog } = context
  if (serving(catalog)[view] === undefined) {
    throw new RefoldError('VIEW_UNKNOWN', `there is no live view "${view}"`)
  }
  const follower = { cut: options.from ?? 0 }
  context.followers.add(follower)
  try {
    yield* deltas(context, view, follower, options)
  } finally {
    context.followers.delete(follower)
  }
}

async function* deltas(
  context: ServerContext,
  view: string,
  follower: { cut: CommitSeq },
  options: ChangesOptions,
): AsyncGenerator<Delta & { readonly version: VersionId }> {
  const { supervisor, clock, catalog } = context
  const { signal, follow } = options
  let version: VersionId | undefined
  let first = true
  while (signal?.aborted !== true && !context.closing()) {
    const deadline = clock.monotonicMs() + READ_MS
    const delta = await supervisor.use((engine) => engine.delta(view, follower.cut), deadline, signal)
    const answered = delta.versions[view] ?? ''
    if (version !== undefined && version !== answered) {
      throw new RefoldError('DELTA_TOO_OLD', `view "${view}" is now version "${answered.slice(0, 12)}"`)
    }
    version = answered
    if (first || delta.count > 0) {
      const { columns, json, count, to } = delta
      yield { from: follower.cut, to, columns, json, count, version }
    }
    first = false
    follower.cut = delta.to
    if (!follow) return
    const beyond = () =>
      (supervisor.viewProgress(view, serving(catalog)[view] ?? '')?.cut ?? 0) > follower.cut
    await supervisor.until(() => beyond() || context.closing(), undefined, signal)
  }
}
