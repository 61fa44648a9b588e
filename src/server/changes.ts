/**
 * A view's changes as a stream of deltas that join: each begins at the cut where the last ended. State: the cut and the
 * version of the loop. Without a starting cut the first delta inserts every row of the view.
 *
 * When another version answers, the difference between the two at the follower's own cut comes as a delta with a cause,
 * and then the changes of the new version: applying every line in order gives the view's rows at every cut, through
 * cutovers and rollbacks. What the live engine no longer keeps is made from states of the past instead.
 */

import { pausedVersion } from '../catalog/paused.ts'
import { versionsAtCut } from '../catalog/pointer-history.ts'
import { serving } from '../catalog/versions.ts'
import { deltaOf, deltaStatements } from '../deploy/state-delta.ts'
import type { Delta, ReadStamp } from '../engine/engine.ts'
import type { CommitSeq, VersionId } from '../model/cut.ts'
import { RefoldError } from '../model/errors.ts'
import type { ViewDelta } from '../serve/core.ts'
import type { ServerContext } from './context.ts'
import { pausedError } from './pauses.ts'

/** What is not folded does not change, and its readers may be ahead of what answers. */
function refusePaused({ catalog }: ServerContext, view: string): void {
  const paused = pausedVersion(catalog, view, serving(catalog)[view] ?? '')
  if (paused !== undefined) throw pausedError(view, paused.reason)
}

export interface ChangesOptions {
  readonly from?: CommitSeq
  /** That the reader holds at `from`; needed only where the view changed hands at that very cut. */
  readonly version?: VersionId
  readonly follow: boolean
  readonly signal?: AbortSignal
}

interface Follower {
  cut: CommitSeq
  /** Cut of the last delta that was given; up to `cut` nothing changed since. */
  given: CommitSeq
  /** Of the rows that the reader holds; undefined before the first delta. */
  version: VersionId | undefined
  /** The batch whose repair of that version its rows include, as the engine said. */
  repaired: number | undefined
}

const READ_MS = 60_000

export async function* viewChanges(
  context: ServerContext,
  view: string,
  options: ChangesOptions,
): AsyncGenerator<ViewDelta> {
  const { catalog } = context
  if (serving(catalog)[view] === undefined) {
    throw new RefoldError('VIEW_UNKNOWN', `there is no live view "${view}"`)
  }
  refusePaused(context, view)
  const cut = options.from ?? 0
  const version = cut === 0 ? undefined : heldVersion(context, view, cut, options.version)
  const follower: Follower = { cut, given: cut, version, repaired: undefined }
  context.followers.add(follower)
  try {
    yield* deltas(context, view, follower, options)
  } catch (error) {
    // Who went away is told nothing.
    if (options.signal?.aborted !== true) throw error
  } finally {
    context.followers.delete(follower)
  }
}

async function* deltas(
  context: ServerContext,
  view: string,
  follower: Follower,
  { signal, follow }: ChangesOptions,
): AsyncGenerator<ViewDelta> {
  const { supervisor } = context
  let first = true
  while (signal?.aborted !== true && !context.closing()) {
    const current = serving(context.catalog)[view]
    if (follower.version !== undefined && follower.version !== current) {
      yield* changeOfVersion(context, view, follower, current, signal)
      follower.version = current
      follower.repaired = undefined
      first = false
    }
    if (current === undefined) throw new RefoldError('VIEW_UNKNOWN', `view "${view}" was removed`)
    const key = `${view}@${current}`
    const repair = context.repairs.get(key)
    const delta = await nextDelta(context, view, follower, current, signal)
    if (delta === undefined) continue
    const { columns, json, count, to, cause, batches } = delta
    if (first || count > 0) {
      const batch = batches?.[view]
      const more = { ...(batch === undefined ? {} : { batch }), ...(cause === undefined ? {} : { cause }) }
      yield { from: follower.given, to, columns, json, count, version: current, ...more }
      follower.given = to
    }
    first = false
    follower.version = current
    follower.cut = to
    follower.repaired = delta.repaired ?? follower.repaired
    if (delta.more === true) continue
    if (!follow) return
    const beyond = () =>
      context.repairs.get(key) !== repair ||
      serving(context.catalog)[view] !== current ||
      (supervisor.viewProgress(view, current)?.cut ?? 0) > follower.cut
    await supervisor.until(() => beyond() || context.closing(), undefined, signal)
  }
}

/** What changed since the follower's cut, from the live engine, or from the past where that keeps it no longer. */
async function nextDelta(
  context: ServerContext,
  view: string,
  follower: Follower,
  version: VersionId,
  signal: AbortSignal | undefined,
): Promise<(Delta & Pick<Partial<ReadStamp>, 'batches'>) | undefined> {
  const { supervisor, clock, catalog } = context
  const deadline = clock.monotonicMs() + READ_MS
  // A view may have a row before the first event. The engine gives all rows from cut 0 on, as to somebody who has none.
  const hasFirstRow = follower.cut === 0 && follower.version !== undefined
  try {
    if (!hasFirstRow)
      return await supervisor.use(
        (engine) => engine.delta(view, follower.cut, undefined, version, follower.repaired),
        deadline,
        signal,
      )
  } catch (error) {
    if (!(error instanceof RefoldError)) throw error
    // The pointer moved while the engine was asked.
    if (error.code === 'VERSION_UNKNOWN' && serving(catalog)[view] !== version) return undefined
    if (error.code !== 'DELTA_TOO_OLD' || follower.version === undefined) throw error
  }
  const to = supervisor.viewProgress(view, version)?.cut ?? follower.cut
  return await stateDelta(
    context,
    view,
    version,
    { version, cut: Math.max(to, follower.cut) },
    follower.cut,
    signal,
  )
}

/** The difference between two versions at the follower's cut, as changes that a version caused. */
async function* changeOfVersion(
  context: ServerContext,
  view: string,
  follower: Follower,
  current: VersionId | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<ViewDelta> {
  const { cut, version: held = '' } = follower
  const delta = await stateDelta(
    context,
    view,
    held,
    current === undefined ? undefined : { version: current, cut },
    cut,
    signal,
  )
  if (delta.count === 0) return
  const { columns, json, count } = delta
  const cause = { kind: 'version', from: held, to: current ?? null } as const
  yield { from: follower.given, to: cut, columns, json, count, version: current ?? held, cause }
  follower.given = cut
}

/** From the rows of `held` at a cut to another state of the view, or to none. */
async function stateDelta(
  context: ServerContext,
  view: string,
  held: VersionId,
  next: { readonly version: VersionId; readonly cut: CommitSeq } | undefined,
  cut: CommitSeq,
  signal: AbortSignal | undefined,
): Promise<Delta> {
  const { past } = context
  const older = past.stateAt(view, held, cut)
  const newer = next === undefined ? undefined : past.stateAt(view, next.version, next.cut)
  const empty = { sql: 'SELECT * FROM old_rows', limit: 2 ** 31 - 1 }
  const answers = await past.query({
    states: newer === undefined ? { old_rows: older } : { old_rows: older, new_rows: newer },
    statements: newer === undefined ? [empty] : deltaStatements(older, newer),
    timeoutMs: READ_MS,
    ...(signal === undefined ? {} : { signal }),
  })
  const texts = answers.map(({ json }) => json)
  const { json, count } = deltaOf(newer === undefined ? [...texts, '[]'] : texts)
  return { from: cut, to: next?.cut ?? cut, columns: (newer ?? older).plan.columns, json, count }
}

/** Which version's rows a reader holds that comes back with a cut; undefined where nothing is known of it. */
function heldVersion(
  { catalog }: ServerContext,
  view: string,
  cut: CommitSeq,
  said: VersionId | undefined,
): VersionId | undefined {
  if (said !== undefined) {
    const row = catalog.get(
      'SELECT version FROM versions WHERE view = ? AND substr(version, 1, ?) = ?',
      view,
      said.length,
      said,
    )
    if (row !== undefined) return String(row.version)
    throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${said}"`)
  }
  const known = versionsAtCut(catalog, view, cut)
  if (known.length <= 1) return known[0]
  throw new RefoldError(
    'DELTA_TOO_OLD',
    `view "${view}" changed its version at cut ${cut}, so its rows there are not known by the cut alone`,
    { hint: 'Say the version of the last line that was read: `version=…`, or `refold tail --held …`.' },
  )
}
